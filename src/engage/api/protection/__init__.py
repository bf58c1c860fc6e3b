"""Protection against farming: the operators' review queue."""
