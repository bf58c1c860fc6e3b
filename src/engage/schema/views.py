"""Views, by name. A view may stand for a table where it is read: `view` returns a table of its columns, which
belongs to no metadata that creates anything.
"""

from typing import Any

from sqlalchemy import Column, MetaData, Table

VIEWS: dict[str, str] = {}

_READ_ONLY = MetaData()


def view(name: str, query: str, *columns: Column[Any]) -> Table:
    """Declare a view by its query; its columns are needed where statements are built on it."""
    VIEWS[name] = query
    return Table(name, _READ_ONLY, *columns)
