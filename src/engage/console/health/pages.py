"""The state of each part of the installation in words, and what does not work."""

from typing import Any, Final

from litestar import Controller, get
from litestar.response import Response

from engage.console.context import HtmlRequest, visitor_of
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.operators.roles import Permission
from engage.flows.operations.health import PartsHealth, check_parts

PARTS: Final = PartsHealth.__struct_fields__


class HealthController(Controller):
    path = "/health"

    @get(opt=needs(Permission.VIEW))
    async def health(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        # The guard lets nobody in before the API has started.
        parts, problems = await check_parts(visitor.services, started=True)
        signs = [(name, getattr(parts, name)) for name in PARTS]
        return page(
            request,
            visitor,
            "health/health.html",
            parts=signs,
            is_up=all(sign == "up" for _, sign in signs),
            problems=problems,
        )
