"""Ready-made combinations of systems, sizes and weights that ship with the package."""
