"""Attempts at quizzes."""
