"""Points taken out as money."""
