"""I-Scene: every object of one picture generated in place, aware of the scene (on TRELLIS v1)."""
