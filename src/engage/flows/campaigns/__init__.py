"""Campaigns: what operators do with them, and what follows from it."""
