"""What papers measure: distances, overlap, collision, alignment, image similarity, mesh quality."""
