"""Campaigns: what earns more, for whom and until when. Marketers write them while the program runs.

A campaign knows neither the database nor the clock. What is in force follows from its document and from the
actions of operators; what it adds follows from the facts of a member.
"""
