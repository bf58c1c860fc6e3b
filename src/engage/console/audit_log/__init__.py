"""The audit log, page by page."""
