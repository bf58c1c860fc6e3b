"""Views, by name. SQLAlchemy's metadata has no place for them, so they are kept beside it."""

VIEWS: dict[str, str] = {}


def view(name: str, query: str) -> None:
    """Declare a view by its query."""
    VIEWS[name] = query
