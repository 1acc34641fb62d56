"""Metrics of papers: distances, overlap, collision, alignment, image similarity, mesh quality."""
