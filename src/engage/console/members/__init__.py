"""Members: found, looked at, corrected, merged and erased."""
