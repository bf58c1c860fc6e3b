"""Whether the API lives, and whether all that it needs does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import structlog
from litestar import Controller, Request, get
from msgspec import Struct

from engage.api.answer import Answer, answer
from engage.api.context import Api, api_of
from engage.api.contract import contract
from engage.domain.refusals import Unavailable
from engage.flows.operations.health import database_answers

CHECK_TIMEOUT_S: Final = 1.5

Sign = Literal["up", "down"]

log = structlog.get_logger()


class Live(Struct, frozen=True):
    status: Literal["up"]


class PartsHealth(Struct, frozen=True):
    postgres: Sign
    valkey_state: Sign
    valkey_queue: Sign
    valkey_topics: Sign
    worker: Sign
    feed: Sign


class Ready(Struct, frozen=True):
    """`up` when every part is."""

    status: Sign
    parts: PartsHealth


class HealthController(Controller):
    path = "/health"
    tags = ("Health",)
    security = ({},)

    @get(
        "/live",
        operation_id="isLive",
        summary="Whether this API runs",
        response_description="It does.",
        opt=contract(),
    )
    async def live(self) -> Answer[Live]:
        """Says nothing about what it depends on: an API that waits for its database is not to be killed."""
        return answer(Live("up"))

    @get(
        "/ready",
        operation_id="isReady",
        summary="Whether all parts answer",
        response_description="All parts are up.",
        opt=contract(also=((503, "Some part is down, or has not started."),)),
    )
    async def ready(self, request: Request[Any, Any, Any]) -> Answer[Ready]:
        """200 when everything is up, 503 otherwise, and which parts are down."""
        api = api_of(request.scope)
        parts = await check(api)
        signs = [getattr(parts, name) for name in PartsHealth.__struct_fields__]
        up = api.started and all(sign == "up" for sign in signs)
        return answer(Ready("up" if up else "down", parts), 200 if up else 503)


async def check(api: Api) -> PartsHealth:
    """Asks all parts at once; one that takes long is down."""
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
    """(whether there was an answer in time, the answer)."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return True, await ask()
    except (Unavailable, TimeoutError):
        return False, None


def _sign(up: bool) -> Sign:
    return "up" if up else "down"
