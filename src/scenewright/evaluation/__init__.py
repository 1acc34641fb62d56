"""Scoring scenes under named protocols: alignment, matching, metrics, uncertainty, reports, gates."""
