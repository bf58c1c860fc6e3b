"""Campaigns: the calendar and the list, the editor, trials, versions, reports."""
