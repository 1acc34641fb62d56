"""Triangle meshes: topology, cleaning, simplification, texture coordinates and baking."""
