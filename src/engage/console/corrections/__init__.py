"""Corrections of points that wait for a second operator."""
