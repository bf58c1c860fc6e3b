"""A program with draws, its members, and their entries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from engage.clock import Clock
from engage.domain.draws.definition import Post
from engage.domain.refusals import Refusal
from engage.flows.draws.enter import DrawEntry, EntryRequest, enter
from engage.flows.draws.reads import DrawView, read_draw
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.due_work import DUE_WORK, run_due_work
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.clock import NOON, stopped_clock
from tests.support.database import rows
from tests.support.programs import rule, services_with

PROGRAM = "lottery"

CLOSES_AT = NOON + timedelta(hours=1)

# The first round of the beacon that is later than CLOSES_AT and a minute.
ROUND_AT = datetime.fromisoformat("2026-11-21T13:01:03Z")

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)

_TOML = "%Y-%m-%dT%H:%M:%SZ"


def document(
    *, plain_closes_at: datetime = CLOSES_AT, rewardmi_closes_at: datetime = CLOSES_AT, winners: int = 2
) -> str:
    """A program with three draws, of which the third opens and closes at local times. The others open an hour
    before NOON, or when the program begins where they close before that.
    """
    opens_at = f"{NOON - timedelta(hours=1) if plain_closes_at > NOON else BEGINNING:{_TOML}}"
    return f"""
id = "lottery"
version = "first"
title = "A program with draws"
in_force_from = {BEGINNING:%Y-%m-%d}
eligibility = {{ one_account_a_person = false }}
expiry = {{ type = "rolling", months = 12 }}

[countries]
ES = {{ zone = "Europe/Madrid", currency = "EUR" }}
PT = {{ zone = "Europe/Lisbon", currency = "EUR" }}

[[draws]]
id = "plain"
title = {{ en = "A plain draw", fr = "Un simple tirage" }}
opens_at = {opens_at}
closes_at = {plain_closes_at:{_TOML}}
winners = {winners}
points = 500

[[draws]]
id = "rewardmi"
title = {{ en = "#rewardmi" }}
opens_at = {opens_at}
closes_at = {rewardmi_closes_at:{_TOML}}
winners = 1
points = 500
conditions = {{ hashtag = "#RewardMi", mentions = 3, public = true }}

[[draws]]
id = "later"
title = {{ en = "A draw at local times" }}
opens_at = 2026-11-22T00:00:00
closes_at = 2026-11-23T00:00:00
winners = 1
points = 10
due = {{ type = "next_day" }}
""" + rule("registration", 'activity = "registration"', 'type = "once"', 100)


POST = Post(text="We want it! #rewardmi @ana @bo.b @cem-", visibility="public", url="https://x.example/1")


@asynccontextmanager
async def services_with_draws(
    settings: Settings, clock: Clock | None = None, *, winners: int = 2
) -> AsyncIterator[Services]:
    async with services_with(settings, document(winners=winners), clock=clock) as services:
        yield services


async def join(services: Services, *member_ids: str, country: str = "ES") -> None:
    for member_id in member_ids:
        await register_member(
            services, MemberRegistration(member_id=member_id, program=PROGRAM, country=country)
        )


async def try_to_enter(
    services: Services, member_id: str = "m-1", draw_id: str = "plain", post: Post | None = None
) -> DrawEntry | Refusal:
    (answer,) = await enter(services, [EntryRequest(PROGRAM, member_id, draw_id, post)])
    return answer


async def entered(
    services: Services, member_id: str = "m-1", draw_id: str = "plain", post: Post | None = None
) -> DrawEntry:
    answer = await try_to_enter(services, member_id, draw_id, post)
    assert isinstance(answer, DrawEntry), answer
    return answer


async def refused(
    services: Services, member_id: str = "m-1", draw_id: str = "plain", post: Post | None = None
) -> Refusal:
    answer = await try_to_enter(services, member_id, draw_id, post)
    assert isinstance(answer, Refusal), answer
    return answer


async def shown(services: Services, member_id: str = "m-1", draw_id: str = "plain") -> DrawView:
    return await read_draw(services, PROGRAM, member_id, draw_id, language="en")


async def advance_to(services: Services, at: datetime) -> None:
    """Advance the stopped clock, and do all due work on the way, each at its own time."""
    clock = stopped_clock(services)
    while clock.at < at:
        async with transaction(services.db) as conn:
            times = [await work.next_at(conn, after=clock.at) for work in DUE_WORK]
        clock.at = min([found for found in times if found is not None and found < at] + [at])
        await run_due_work(services, now=clock.at, on_time=True)
    await services.post_commit.drain()


async def prizes(services: Services) -> list[tuple[Any, ...]]:
    """(member, number, points, state, due) of all credits of draws."""
    return await rows(
        services.db,
        """
        SELECT member_id, CAST(why -> 'inputs' ->> 'number' AS int), points, state, due_at FROM credits
        WHERE starts_with(rule_id, 'draw:') ORDER BY 2, 1
        """,
    )
