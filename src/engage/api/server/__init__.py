"""The HTTP server of the API: Granian on a socket of ours, with deadlines and bounds for every connection.

Knows no feature and no framework: it serves any ASGI application.
"""
