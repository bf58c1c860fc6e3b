"""Load clients. Each is a child program that sends requests or receives messages, and measures them.

A client has to use much less CPU than the server it measures, so it imports little: `setup.child_program`
and `setup.constants`, and of the engine only what signs tokens or publishes changes.
"""
