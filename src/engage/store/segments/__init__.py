"""Segments: their versions, lists as they are written, and who is in a list at an instant."""
