"""Members' tokens: verify those that the shop's identity provider signs, and sign those of the sandbox.

May import domain, clock, settings and sandbox_secrets. The API and the feed use it.
"""
