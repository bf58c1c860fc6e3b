"""Health checks: this process alone, and with the services that it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

from litestar import Controller, Request, get
from msgspec import Struct

from engage.api.http.answers import NOT_STORED, Answer, answer
from engage.api.http.context import Api, api_of
from engage.api.http.operation import contract
from engage.domain.refusals import Unavailable
from engage.flows.operations.health import OVERDUE, check_database, undone_work
from engage.flows.programs.older_presets import older_presets
from engage.runtime.liveness import FEED, WORKER, problems_of, works
from engage.signals.topics import Heartbeat, this_process

CHECK_TIMEOUT_S: Final = 1.5
AGAIN_SOON: Final = (*NOT_STORED, (b"retry-after", b"1"))

T = TypeVar("T")

Sign = Literal["up", "down"]


class Liveness(Struct, frozen=True):
    """The process runs, and none of its loops is stuck."""

    status: Sign


class PartsHealth(Struct, frozen=True):
    """The state of each service and process. A service is up when it can be written; a process, when all its
    loops do their work. Of several workers or feeds one is enough, if every kind of due work is done and no
    credit is overdue by more than a minute.
    """

    postgres: Sign
    valkey_state: Sign
    valkey_queue: Sign
    valkey_topics: Sign
    api: Sign
    worker: Sign
    feed: Sign


class ProcessProblem(Struct, frozen=True):
    """A background loop of a process that does not do its work, or the clock of its machine: `clock_off`, by
    more than a second, and the process works; `clock_far_off`, by more than a minute, and it does not.

    Without an `id`: a kind of due work that no worker has looked for lately, or `overdue_credits`.
    """

    process: str
    id: str
    loop: str


class Notice(Struct, frozen=True):
    """Something that an operator should look at, and that keeps nothing from working. `older_preset`: an
    older release has published this version of a preset, and this release has other rules.
    """

    code: Literal["older_preset"]
    program: str
    version: str
    detail: str


class Readiness(Struct, frozen=True):
    """`up` when all parts are up."""

    status: Sign
    parts: PartsHealth
    problems: list[ProcessProblem]
    notices: list[Notice]


class HealthController(Controller):
    path = "/health"
    tags = ("Health",)
    security = ({},)

    @get(
        "/live",
        operation_id="getLiveness",
        summary="Check this process",
        response_description="The process runs.",
        opt=contract(also=((503, "A loop of the process is stuck: it has to be restarted."),)),
    )
    async def live(self, request: Request[Any, Any, Any]) -> Answer[Liveness]:
        """Checks nothing else: an API that waits for its database should not be restarted."""
        stuck = api_of(request.scope).services.loops.are_stuck()
        return _health(Liveness("down" if stuck else "up"), up=not stuck)

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
        parts, problems = await check(api)
        signs = [getattr(parts, name) for name in PartsHealth.__struct_fields__]
        up = api.started and not api.closing and all(sign == "up" for sign in signs)
        return _health(Readiness("up" if up else "down", parts, problems, _notices(api)), up=up)


def _notices(api: Api) -> list[Notice]:
    known = api.services.programs
    older = older_presets(known.versions(program_id)[-1] for program_id in known.ids())
    return [Notice("older_preset", preset.program, preset.version, preset.notice) for preset in older]


async def check(api: Api) -> tuple[PartsHealth, list[ProcessProblem]]:
    """Ask all parts at once. A part without an answer in CHECK_TIMEOUT_S is down."""
    services = api.services
    (postgres, undone), (state, queue, topics, workers, feeds) = await asyncio.gather(
        asyncio.gather(_answer(lambda: check_database(services)), _answer(lambda: undone_work(services))),
        asyncio.gather(
            _answer(services.gate.check),
            _answer(services.doorbell.check),
            _answer(services.topics.check),
            _answer(lambda: services.topics.read_heartbeats(WORKER)),
            _answer(lambda: services.topics.read_heartbeats(FEED)),
        ),
    )
    own = problems_of(services.loops, services.clock)
    # Not of one worker: what none of them has done.
    missed = [*(undone[1] or []), *([OVERDUE] if postgres[1] else [])]
    processes = {WORKER: workers[1] or [], FEED: feeds[1] or []}
    parts = PartsHealth(
        postgres=_sign(postgres[0]),
        valkey_state=_sign(state[0]),
        valkey_queue=_sign(queue[0]),
        valkey_topics=_sign(topics[0]),
        api=_sign(api.started and works(own)),
        worker=_sign(_one_works(processes[WORKER]) and not missed),
        feed=_sign(_one_works(processes[FEED])),
    )
    return parts, [
        *(ProcessProblem("api", this_process(), loop) for loop in own),
        *(ProcessProblem(WORKER, "", work) for work in missed),
        *(
            ProcessProblem(name, alive.id, loop)
            for name, found in processes.items()
            for alive in found
            for loop in alive.problems
        ),
    ]


async def _answer(ask: Callable[[], Awaitable[T]]) -> tuple[bool, T | None]:
    """Return whether there was an answer in time, and the answer."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return True, await ask()
    except (Unavailable, TimeoutError):
        return False, None


def _health(state: T, *, up: bool) -> Answer[T]:
    return answer(state) if up else answer(state, 503, headers=AGAIN_SOON)


def _one_works(processes: list[Heartbeat]) -> bool:
    return any(works(process.problems) for process in processes)


def _sign(up: bool) -> Sign:
    return "up" if up else "down"
