"""The shape of what operators define besides rules: quizzes, challenges, games, draws and the like.

A definition is a part of a program document, or is added by an operator while the program runs. It knows
neither where it came from nor the program around it.
"""
