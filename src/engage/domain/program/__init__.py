"""Programs: the document that composes the sections of all features, its text and examples, its validation
and its versions. `sections.py` is the table of features, `example.py` the union of their steps.

Imports all of domain except playback; no feature imports this package.
"""
