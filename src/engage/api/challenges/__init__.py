"""Challenges of members."""
