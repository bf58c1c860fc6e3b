"""Tiers: levels that members reach by what they buy or earn, kept for a window of time, with benefits.

A level is a fold over movements, each with its time: whatever order they come in, and at whatever instant one
asks. Imports earning, document, feature and simulation; knows no program.
"""
