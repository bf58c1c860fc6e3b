"""Shared parts of controllers: bodies, answers, problem documents, callers, idempotency, batches, pages.

Knows no feature. May import flows and everything below them.
"""
