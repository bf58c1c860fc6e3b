"""Quizzes: questions that members answer for points. The definition and its validation, the paper of an
attempt and its grading, attempts within windows, and the example steps.

Imports definitions, earning, feature, simulation and what is below them; no other feature.
"""
