"""Flows: what the system does for its callers, one function for each promise, a package for each feature.

A flow takes the services, runs transactions and returns a result or raises a Refusal. May import `domain`,
`runtime` and the adapters. `tests/test_imports.py` holds the order of the packages.
"""
