"""Mini: the published classes at small sizes, with weights trained from our own scenes (docs/mini.md)."""
