"""The worker process: arq settings and jobs. A job calls a flow and nothing more.

May import `engage.flows`, `engage.runtime` and what is below them.
"""
