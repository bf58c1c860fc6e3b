"""Rows of members and card numbers: single, in batches for an import, and at a merger or an erasure."""
