"""Earning: the rules in a document, the credits that an activity earns by them, and the trace of each.

An index, made once a version, finds the rules of an activity. Imports document, market, calendar, money,
activity and refusals; no other feature.
"""
