"""Challenges: goals that members reach by what they do, once or in each period, and the steps that pay.

A member's progress is a fold over facts. Imports definitions, earning, rewards, feature and simulation.
"""
