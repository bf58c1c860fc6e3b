"""Segments: groups of members, as lists that are uploaded or by conditions."""
