"""A check: what it promises, and how to find what breaks it."""

import msgspec


class Check(msgspec.Struct, frozen=True):
    """A promise, and the query for the rows that break it. A broken `warning` is late, not wrong."""

    name: str
    promise: str
    query: str
    warning: bool = False
