"""InSpace: one panorama to a room of separate objects (on TRELLIS.2)."""
