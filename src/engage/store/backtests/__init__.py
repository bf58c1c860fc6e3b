"""Backtests in PostgreSQL: jobs, their parts, the histories of members that they read, and gains."""
