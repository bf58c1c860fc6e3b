"""Pages of the review queue of suspicions."""
