"""Meshes, voxels, cameras and rotations as plain functions on tensors; knows no file and no network."""
