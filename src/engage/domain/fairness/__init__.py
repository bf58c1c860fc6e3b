"""Randomness that anyone can check afterwards: one text for each value, its digest, and unbiased sampling.

Pure. Imports nothing of engage.
"""
