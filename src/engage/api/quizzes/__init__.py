"""Quizzes that members take."""
