"""From conf/ to stage instances: what the grid's cells are and which settings each stage owns."""
