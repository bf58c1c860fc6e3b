"""The decisions of engage: pure functions and structs, without I/O, clock or randomness.

Imports run one way, from the bottom to the top:

    refusals, keys, calendar, money, activity, identity < document < market
    < accounts, members < earning < simulation < feature
    < examples, withdrawals, rewards, checkout (the features) < program < playback

A feature knows neither Program nor what is above it. It brings a section to documents and steps to examples
in the shape of `feature`; `program` composes them. tests/test_imports.py checks the order.
"""
