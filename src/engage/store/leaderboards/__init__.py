"""Rows of leaderboards: periods, scores and display names, and their checks for the audit."""
