"""Making the data that the mini weights were trained on; the library itself does not need it."""
