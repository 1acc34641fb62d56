"""Triangle meshes from scalar fields on grids."""
