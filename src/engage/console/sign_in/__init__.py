"""Signing in and out, and the operator's own account."""
