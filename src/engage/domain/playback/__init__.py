"""Playback: the examples of a document, played on a simulated member and compared with what they expect.

The top of domain: imports program and what is below it.
"""
