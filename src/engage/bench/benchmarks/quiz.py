"""`quiz`: quizzes a second, each begun and answered, compared with two empty handlers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from sqlalchemy import text

from engage.bench.clients import quiz_client
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import LoadResult, request_load
from engage.bench.clients.quiz_client import TakeQuizzes
from engage.bench.figures import Figure, compare, median, spread
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import HOST
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, vacuum
from engage.bench.setup.queries import fetch_row, wait_until_zero
from engage.domain.quizzes.definition import Quiz
from engage.embedded import ports
from engage.programs import preset
from engage.runtime.services import Services, open_services

# A program with a quiz, and its country.
PROGRAM, COUNTRY = "bf-mi-points", "BF"

QUIZZES = "/v1/quizzes"
PUBLISH_S = 10.0

_UNPUBLISHED = text("SELECT EXISTS (SELECT FROM outbox)")

_TOTALS = text("""
SELECT (SELECT count(*) FROM quiz_attempts WHERE starts_with(member_id, :prefix)),
       (SELECT count(*) FROM credits WHERE starts_with(member_id, :prefix)),
       (SELECT sum(points) FROM credits WHERE starts_with(member_id, :prefix)),
       (SELECT sum(pending) FROM balances WHERE starts_with(member_id, :prefix))
""")


class Servers(Struct, frozen=True):
    """The client, and the ports of the servers that it compares."""

    client: ChildProgram
    api: int
    empty: int


class Results(Struct, frozen=True):
    """One result for each round."""

    quizzes: list[LoadResult] = []
    lists: list[LoadResult] = []
    empty: list[LoadResult] = []


async def run(env: Environment) -> list[Figure]:
    (quiz,) = preset(PROGRAM).quizzes
    async with open_services(env.settings) as services:
        await _add_members(env, services)
        async with _servers(env) as servers:
            await _sign_tokens(env, servers.client)
            await _take(env, servers.client, servers.empty, quiz, "warmquiz-", 0, _few(env))
            await _take(env, servers.client, servers.api, quiz, "warmquiz-", 0, _few(env))
            results = Results()
            for number in env.rounds("quiz"):
                await _measure_round(env, services, servers, quiz, results, number)
        await _verify(env, services, quiz)
    return _figures(results)


def _few(env: Environment) -> int:
    return max(env.sizes.quizzes // 4, env.sizes.connections)


def _counts(env: Environment) -> dict[str, int]:
    return {"quiz-": env.sizes.quizzes * env.sizes.rounds, "warmquiz-": _few(env)}


async def _add_members(env: Environment, services: Services) -> None:
    program, now = preset(PROGRAM), services.clock.now()
    env.report(f"quiz: adding {sum(_counts(env).values()):,} members")
    for prefix, count in _counts(env).items():
        await add_members(services.db, program, prefix, count, now=now, country=COUNTRY)
    await vacuum(services.db)


@asynccontextmanager
async def _servers(env: Environment) -> AsyncIterator[Servers]:
    """Run all of engage, the baseline and the client. Those not in use are idle."""
    empty = ports.free_port(HOST)
    async with (
        processes.running(
            *(processes.api(env), processes.feed(env), processes.worker(env)),
            processes.baseline(env, "empty_quiz", empty),
        ),
        child_program(quiz_client, env.folder.logs) as client,
    ):
        yield Servers(client, env.settings.api_port, empty)


async def _sign_tokens(env: Environment, client: ChildProgram) -> None:
    for prefix, count in _counts(env).items():
        await client.call(SignTokens(str(env.folder.sandbox), PROGRAM, prefix, count), TokensSigned)


async def _measure_round(
    env: Environment, services: Services, servers: Servers, quiz: Quiz, results: Results, number: int
) -> None:
    count, client = env.sizes.quizzes, servers.client
    first = number * count
    # An app lists the quizzes first. The API caches the verified token from then on.
    listing = SendAll(servers.api, "GET", QUIZZES, "quiz-", first, count, env.sizes.connections)
    results.lists.append(await request_load(client, listing, {200: count}))
    results.empty.append(await _take(env, client, servers.empty, quiz, "quiz-", first, count))
    results.quizzes.append(await _take(env, client, servers.api, quiz, "quiz-", first, count))
    # The work after the responses must not slow the next measurement.
    await wait_until_zero(services.db, _UNPUBLISHED, limit_s=PUBLISH_S)


async def _take(
    env: Environment, client: ChildProgram, port: int, quiz: Quiz, prefix: str, first: int, count: int
) -> LoadResult:
    request = TakeQuizzes(
        port=port,
        path=f"{QUIZZES}/{quiz.id}/attempts",
        prefix=prefix,
        first=first,
        count=count,
        connections=env.sizes.connections,
        right={question.id: question.right for question in quiz.questions},
    )
    return await request_load(client, request, {201: count, 202: count})


async def _verify(env: Environment, services: Services, quiz: Quiz) -> None:
    """Check that each member has one attempt, and one credit for a full score."""
    expected = _counts(env)["quiz-"]
    attempts, credits, points, pending = await fetch_row(services.db, _TOTALS, prefix="quiz-")
    assert attempts == credits == expected, f"{expected} quizzes made {attempts} attempts, {credits} credits"
    assert points == pending == expected * quiz.points_max, f"{points} points, {pending} in balances"


def _figures(results: Results) -> list[Figure]:
    """A quiz is two requests."""
    quizzes, empty = ([result.rate / 2 for result in loads] for loads in (results.quizzes, results.empty))
    p99_ms = max(result.p99_s for result in results.quizzes) * 1000
    return [
        compare(
            "quiz",
            "quizzes a second, begun and answered",
            "quizzes/s",
            quizzes,
            baseline="two empty Litestar handlers",
            baseline_rates=empty,
            note=f"{spread(quizzes)}; p99 of a request at most {p99_ms:.0f} ms",
        ),
        Figure(
            benchmark="quiz",
            what="lists of open quizzes, first of each member",
            value=median([result.rate for result in results.lists]),
            unit="lists/s",
            note="token not verified, member not loaded",
        ),
    ]
