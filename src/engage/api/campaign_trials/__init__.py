"""Trials of campaigns before they are in force."""
