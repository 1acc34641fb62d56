"""SceneGen: several objects of one picture, generated together with their places (on TRELLIS v1)."""
