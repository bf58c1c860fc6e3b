"""The console: pages on which operators work, at `/console`. Rendered on the server, on the flows that exist.

A package a section, each with its pages and templates. No rule lives here: a page reads flows, and a form
calls one. May import the flows and what is below them, and nothing of the API.
"""
