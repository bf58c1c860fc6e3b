"""Withdrawals that wait for an operator, and how they went."""
