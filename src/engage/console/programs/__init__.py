"""Programs: their versions, in words and compared, and the publication of a new one."""
