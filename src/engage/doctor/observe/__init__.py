"""Observing: each module asks one thing, within a deadline, and changes nothing."""
