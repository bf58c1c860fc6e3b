"""Withdrawals: points paid out as money. The terms in a document, the checks of a request, the states of a
withdrawal, and its section with the example step.

Imports document, refusals, feature and simulation; no other feature.
"""
