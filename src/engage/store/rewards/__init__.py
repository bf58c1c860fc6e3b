"""Rows of coupons and of the stock of rewards, and their checks for the audit."""
