"""Backtests: a draft of a campaign on the activities of a past window, and the difference that it makes.

Pure. The campaigns that were in force decide again about each stored activity, and once more with the draft:
in the place of the campaign that has its id, or beside all of them.
"""
