"""Sparse voxel tensors and the operations on them, in plain torch on any device."""
