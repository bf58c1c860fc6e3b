"""The routes of the console, from the app: a later one is in every test of all routes."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct

from engage.console import permissions

_PARAMETER = re.compile(r"\{\w+:(\w+)\}")
_NOTHING = {"str": "nothing", "path": "nothing", "uuid": str(UUID(int=1))}


class ConsoleRoute(Struct, frozen=True):
    """A method of a path, such as `/console/keys/{key_id:str}`, and its handler."""

    method: str
    path: str
    handler: HTTPRouteHandler

    @property
    def needed(self) -> Any:
        """The permission that the handler names, or whom it is for."""
        return self.handler.opt.get(permissions.NEEDS)

    def matches(self, path: str) -> bool:
        """Tell whether a path is one of this route."""
        return re.fullmatch(_PARAMETER.sub("[^/]+", self.path), path) is not None

    @property
    def address(self) -> str:
        """An address of the route, with values of the right types, of which nothing exists."""
        return _PARAMETER.sub(lambda found: _NOTHING[found[1]], self.path)


def console_routes(app: Litestar) -> Iterator[ConsoleRoute]:
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith("/console"):
            for handler in route.route_handlers:
                for method in handler.http_methods - {"OPTIONS", "HEAD"}:
                    yield ConsoleRoute(str(method), route.path, handler)
