"""Segments: replace their lists, define computed ones, read them.

May import `domain`, `runtime` and `store`.
"""
