"""Protection against farming: how often a device or a network may be used before points are held for review.

Imports earning, members and the shape of a feature.
"""
