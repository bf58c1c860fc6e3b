"""Invitations of members, and the operators' queue."""
