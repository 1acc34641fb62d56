"""Image preparation, one file per published recipe; the recipes share `crop` and differ where the papers' code does."""
