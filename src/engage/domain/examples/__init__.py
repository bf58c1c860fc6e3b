"""Steps of examples that every program has: joining, waiting, and the end of orders, reviews and shares; and
what a step can expect of credits and balances. The steps of a feature are in its own package.

Imports feature, simulation and what is below them.
"""
