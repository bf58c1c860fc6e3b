"""Definitions that operators add while a program runs: quizzes with a preview, draws with certificates."""
