"""The shape of a feature: the section that it brings to documents, and the steps that examples take in it.

Imports document and simulation, never a feature: rewards, withdrawals, checkout and the like follow this
shape.
"""
