"""Checkout: paying an order with points and coupons. The terms in a document, the quote and its reasons, and
the section with the example steps.

Imports document, market, earning, refusals, feature, simulation, and rewards for coupons; no other feature.
"""
