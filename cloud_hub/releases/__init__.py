"""Models, their versions and the artifacts of each: what may be rolled out."""
