"""O-Voxel: meshes to flexible dual grids with materials per voxel, and back."""
