"""Logs: a JSON object a line, or coloured lines for people. Nothing personal and no secret can get into them.

A field is written only if its name is in the list of `fields`, and only as the kind that the list says.
Exceptions are written as types and places, without their texts (`failures`), and so are lines of libraries.
Members have a pseudonym (`pseudonyms`). May import `settings` and `live_settings`.
"""

from engage.logs.bounded import BoundedLog
from engage.logs.setup import configure, follow

__all__ = ["BoundedLog", "configure", "follow"]
