"""Prize draws, and their certificates."""
