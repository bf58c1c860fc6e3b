"""The tables: columns, constraints, indexes and views, and what becomes of a member's rows.

The metadata here is the one source. Migrations are made from it and compared with it (tests/schema), the
audit, mergers, erasures and registrations walk it, and plain statements are built on its tables. One module a
concept, all of which are imported here; they import nothing of engage but each other.
"""

from importlib import import_module
from pkgutil import iter_modules

from engage.schema.columns import metadata
from engage.schema.views import VIEWS

__all__ = ["VIEWS", "metadata"]

for _module in iter_modules(__path__, prefix=f"{__name__}."):
    import_module(_module.name)
