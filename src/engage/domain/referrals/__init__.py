"""Referrals: members invite friends by a code. The terms in a document, the checks of a claim, the states of
a referral and what it pays to both.

Imports document, calendar, earning, refusals, feature and simulation; no other feature.
"""
