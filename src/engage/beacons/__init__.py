"""Randomness beacons that decide draws: the port, drand's quicknet over HTTP, and the sandbox's beacon.

Whatever a beacon answers is verified (`engage.domain.draws.beacon`), so a relay can be late and cannot lie.
"""
