"""Rows of withdrawals and their payouts, their reconciliation, and their checks for the audit."""
