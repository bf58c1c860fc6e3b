"""Tasks: what a member can earn now."""
