"""Cameras: projection, cube maps, and what a camera sees."""
