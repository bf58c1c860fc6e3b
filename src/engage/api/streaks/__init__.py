"""Streaks in the API."""
