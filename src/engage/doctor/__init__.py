"""`engage doctor`: what is wrong with an installation, in words, and what to do about it.

`observe` asks each server and this machine once, with a deadline, and notes what it finds or why it found
nothing. `checks` are pure functions on these observations, in one table. Half of an installation may be down:
what cannot be observed is listed, and the rest is checked. Nothing is changed. Secrets are never in an
observation. May import what the edge may import.
"""
