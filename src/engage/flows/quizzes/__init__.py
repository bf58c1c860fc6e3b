"""Quizzes: those that are open, attempts that begin, and their answers.

May import `domain`, `runtime`, `ledger`, `store`, and the views of credits of `flows.activities`.
"""
