"""Backtests: drafts of campaigns on the activities of a past window, by any number of workers.

May import `domain`, `runtime` and `store`, and the validation of campaigns. Nothing here touches a balance,
apart from a grant, which an operator asks for.
"""
