"""Instant wins."""
