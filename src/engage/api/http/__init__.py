"""What all controllers share: bodies, answers, problem documents, callers, idempotency, batches and pages.

Knows no feature. May import flows and everything below them.
"""
