"""The published systems, each holding only what its paper adds to the shared parts."""
