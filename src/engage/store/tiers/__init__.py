"""Queries for tiers: the movements that levels follow from, and levels as they are stored."""
