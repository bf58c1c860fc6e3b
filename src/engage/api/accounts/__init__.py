"""Credits and the statement of a member."""
