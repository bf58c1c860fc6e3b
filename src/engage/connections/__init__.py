"""Connections to servers: how long each may stay silent, and the errors that say that a server is away. And
the clients of our own servers: how many may connect, and which belong together.

May import `domain`. A connection can be lost without a word (a cable, a firewall that forgets): nothing here
waits for one without a limit.
"""
