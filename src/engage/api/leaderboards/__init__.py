"""Leaderboards and display names."""
