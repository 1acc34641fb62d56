"""Dual grids that keep what the published conversion drops: thin rods, crumbs, second sheets."""
