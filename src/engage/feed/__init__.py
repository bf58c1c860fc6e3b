"""The websocket feed: a snapshot of a member's balance, then every change.

`session` and `messages` decide without I/O what a connection sends. `hub`, `reader` and `server` do the I/O.
May import flows and everything below them.
"""
