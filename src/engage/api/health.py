"""Health checks: this process alone, and with the services that it needs."""

from typing import Any, Final, Literal, TypeVar

from litestar import Controller, Request, get
from msgspec import Struct, structs

from engage.api.http.answers import NOT_STORED, Answer, answer
from engage.api.http.context import Api, api_of
from engage.api.http.operation import contract
from engage.flows.operations.health import PartsHealth, ProcessProblem, Sign, check_parts
from engage.flows.programs.older_presets import older_presets
from engage.runtime.operations import Ready

AGAIN_SOON: Final = (*NOT_STORED, (b"retry-after", b"1"))

T = TypeVar("T")


class Liveness(Struct, frozen=True):
    """The process runs, and none of its loops is stuck."""

    status: Sign


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
        readiness = await _readiness(api_of(request.scope))
        return _health(readiness, up=readiness.status == "up")


async def check(api: Api) -> Ready:
    """Check all parts, for the operations port."""
    readiness = await _readiness(api)
    problems = [f"{problem.process}: {problem.loop}" for problem in readiness.problems]
    return Ready(readiness.status, structs.asdict(readiness.parts), problems)


async def _readiness(api: Api) -> Readiness:
    parts, problems = await check_parts(api.services, started=api.started)
    signs = [getattr(parts, name) for name in PartsHealth.__struct_fields__]
    up = api.started and not api.closing and all(sign == "up" for sign in signs)
    return Readiness("up" if up else "down", parts, problems, _notices(api))


def _notices(api: Api) -> list[Notice]:
    known = api.services.programs
    older = older_presets(known.versions(program_id)[-1] for program_id in known.ids())
    return [Notice("older_preset", preset.program, preset.version, preset.notice) for preset in older]


def _health(state: T, *, up: bool) -> Answer[T]:
    return answer(state) if up else answer(state, 503, headers=AGAIN_SOON)
