"""Health checks: this process alone, and with the services that it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import structlog
from litestar import Controller, Request, get
from msgspec import Struct

from engage.api.contract.operation import contract
from engage.api.http.answers import Answer, answer
from engage.api.http.context import Api, api_of
from engage.domain.refusals import Unavailable
from engage.flows.operations.health import database_answers

CHECK_TIMEOUT_S: Final = 1.5

Sign = Literal["up", "down"]

log = structlog.get_logger()


class Liveness(Struct, frozen=True):
    """The process runs."""

    status: Literal["up"]


class PartsHealth(Struct, frozen=True):
    """The state of each service and process."""

    postgres: Sign
    valkey_state: Sign
    valkey_queue: Sign
    valkey_topics: Sign
    worker: Sign
    feed: Sign


class Readiness(Struct, frozen=True):
    """`up` when all parts are up."""

    status: Sign
    parts: PartsHealth


class HealthController(Controller):
    path = "/health"
    tags = ("Health",)
    security = ({},)

    @get(
        "/live",
        operation_id="getLiveness",
        summary="Check this process",
        response_description="The process runs.",
        opt=contract(),
    )
    async def live(self) -> Answer[Liveness]:
        """Checks nothing else: an API that waits for its database should not be restarted."""
        return answer(Liveness("up"))

    @get(
        "/ready",
        operation_id="getReadiness",
        summary="Check all parts",
        response_description="All parts are up.",
        opt=contract(also=((503, "A part is down, or has not started."),)),
    )
    async def ready(self, request: Request[Any, Any, Any]) -> Answer[Readiness]:
        """200 when all parts are up, 503 otherwise, with the state of each part."""
        api = api_of(request.scope)
        parts = await check(api)
        signs = [getattr(parts, name) for name in PartsHealth.__struct_fields__]
        up = api.started and all(sign == "up" for sign in signs)
        return answer(Readiness("up" if up else "down", parts), 200 if up else 503)


async def check(api: Api) -> PartsHealth:
    """Ask all parts at once. A part without an answer in CHECK_TIMEOUT_S is down."""
    services = api.services

    async def worker() -> int:
        return await services.doorbell.count_workers()

    async def feed() -> int:
        return await services.topics.count_alive("feed")

    postgres, state, workers, feeds = await asyncio.gather(
        _answer(lambda: database_answers(services)),
        _answer(services.gate.ping),
        _answer(worker),
        _answer(feed),
    )
    return PartsHealth(
        postgres=_sign(postgres[0]),
        valkey_state=_sign(state[0]),
        valkey_queue=_sign(workers[0]),
        valkey_topics=_sign(feeds[0]),
        worker=_sign(bool(workers[1])),
        feed=_sign(bool(feeds[1])),
    )


async def _answer(ask: Callable[[], Awaitable[int | None]]) -> tuple[bool, int | None]:
    """Return whether there was an answer in time, and the answer."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return True, await ask()
    except (Unavailable, TimeoutError):
        return False, None


def _sign(up: bool) -> Sign:
    return "up" if up else "down"
