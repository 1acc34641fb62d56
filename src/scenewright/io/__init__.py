"""Files to types and back: images, meshes, splats, cameras, scenes. No mathematics beyond the change of frame."""
