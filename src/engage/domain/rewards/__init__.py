"""Rewards: what points are exchanged for. The catalogue in a document, the checks of a redemption, the codes
of coupons and F-codes, and the section with the example step.

Imports document, calendar, refusals, feature and simulation; no other feature.
"""
