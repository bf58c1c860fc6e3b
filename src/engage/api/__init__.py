"""The HTTP API. A controller identifies the caller, calls a flow and shapes the answer.

`http` has what all controllers share, `contract` makes the OpenAPI document, and every other package is a
feature, with a module for each kind of caller: `mobile`, `shop` and `admin`. May import flows and below.
"""
