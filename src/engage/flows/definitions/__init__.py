"""Definitions that operators add to a program while it runs: quizzes, challenges, games, draws."""
