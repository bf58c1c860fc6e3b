"""Prize draws, their entries and their frozen lists."""
