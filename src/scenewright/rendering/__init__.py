"""Scenes to pictures: colour, depth, masks and normals, headless on any machine."""
