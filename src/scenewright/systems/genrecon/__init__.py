"""GenRecon: posed pictures of a room to one generated reconstruction (on TRELLIS.2)."""
