"""A report counts what a campaign granted, and compares its audience with those who were held out."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from engage.domain.campaigns.audience import is_held_out, share_of
from engage.domain.campaigns.definition import Audience, Campaign, CampaignBoost
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.campaigns.report import (
    CampaignWindow,
    Outcome,
    read_grants,
    read_outcomes,
)
from tests.support.activities import PROGRAM, services_with_activities
from tests.support.clock import NOON

HOUR = timedelta(hours=1)
WINDOWS = [CampaignWindow("ES", NOON - HOUR, NOON + HOUR), CampaignWindow("FR", NOON, NOON + HOUR)]

_MEMBERS = text("""
INSERT INTO members (program_id, member_id, country, kind, joined_at)
SELECT :program, 'm-' || n, CASE WHEN n % 3 = 0 THEN 'FR' ELSE 'ES' END, 'person', :joined
FROM generate_series(1, 600) n
""")
_CREDITS = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, taken_back,
                     state, activity_at, accepted_at, due_at, active_at, why, campaign, boost, beside)
SELECT :program, 'm-' || n, uuidv7(), :key, 'fuel', '1', 10, :taken, 'active', :at, :at, :at, :at, '{}',
       :campaign, CAST(:campaign AS text), CAST(:campaign AS text)
FROM generate_series(1, CAST(:members AS int)) n
""")


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """A process whose books are the test's own: they need not add up."""
    async with services_with_activities(settings) as opened:
        yield opened


def spring(**audience: object) -> Campaign:
    return Campaign(
        id="spring",
        program=PROGRAM,
        title={"en": "Spring"},
        from_=datetime(2026, 3, 1, tzinfo=UTC),
        until=datetime(2027, 4, 1, tzinfo=UTC),
        audience=Audience(**audience),  # type: ignore[arg-type]  # The fields of an audience.
        holdout_percent=20,
        boosts=[CampaignBoost(id="double", rules=["fuel"], multiply=2)],
    )


async def add(services: Services, *, key: str, members: int, campaign: str | None, taken: int = 0) -> None:
    values = {"program": PROGRAM, "key": key, "members": members, "campaign": campaign, "taken": taken}
    async with transaction(services.db) as conn:
        await conn.execute(_CREDITS, values | {"at": NOON})


async def join(services: Services) -> None:
    async with transaction(services.db) as conn:
        await conn.execute(_MEMBERS, {"program": PROGRAM, "joined": NOON - 48 * HOUR})


async def outcomes(
    services: Services, campaign: Campaign, windows: Sequence[CampaignWindow] = WINDOWS
) -> tuple[Outcome, Outcome]:
    async with transaction(services.db) as conn:
        return await read_outcomes(conn, campaign, windows, rules=["fuel"])


async def test_points_credits_and_members_are_counted_without_what_was_taken_back(services: Services) -> None:
    await join(services)
    await add(services, key="a+spring", members=6, campaign="spring")
    await add(services, key="b+spring", members=3, campaign="spring", taken=4)
    await add(services, key="c+other", members=3, campaign="other")
    async with transaction(services.db) as conn:
        grants = await read_grants(conn, (PROGRAM, "spring"), most=10)
    assert (grants.points, grants.credits, grants.members) == (6 * 10 + 3 * 6, 9, 6)
    assert [(each.hour, each.points, each.credits) for each in grants.by_hour] == [(NOON, 78, 9)]
    assert [(each.country, each.points, each.credits, each.members) for each in grants.by_country] == [
        ("ES", 4 * 10 + 2 * 6, 6, 4),
        ("FR", 2 * 10 + 1 * 6, 3, 2),
    ]


async def test_members_are_held_out_as_decisions_do_it(services: Services) -> None:
    await join(services)
    await add(services, key="a", members=300, campaign=None)
    ids = {f"m-{n}": n for n in range(1, 601)}
    campaign = spring(percent=70)
    asked = {member: n for member, n in ids.items() if share_of(member, PROGRAM, "spring", "percent") < 70}
    held_out = {member for member in asked if is_held_out(campaign, member)}
    assert 50 < len(held_out) < 120
    expected = tuple(
        Outcome(len(group), sum(1 for member in group if ids[member] <= 300))
        for group in (set(asked) - held_out, held_out)
    )
    assert await outcomes(services, campaign) == expected


async def test_boosts_do_not_count_as_activities(services: Services) -> None:
    await join(services)
    await add(services, key="a+spring", members=300, campaign="spring")
    audience, holdout = await outcomes(services, spring())
    assert (audience.active, holdout.active) == (0, 0)
    assert audience.members + holdout.members == 600


async def test_members_joined_by_the_clock_of_their_own_country(services: Services) -> None:
    await join(services)
    since_later = [
        CampaignWindow("ES", NOON - HOUR, NOON + HOUR, joined_after=NOON - 49 * HOUR),
        CampaignWindow("FR", NOON, NOON + HOUR, joined_after=NOON - 47 * HOUR),
    ]
    audience, holdout = await outcomes(services, spring(), since_later)
    assert audience.members + holdout.members == 400
    until_sooner = [
        CampaignWindow("ES", NOON - HOUR, NOON + HOUR, joined_before=NOON - 48 * HOUR),
        CampaignWindow("FR", NOON, NOON + HOUR, joined_before=NOON - 47 * HOUR),
    ]
    audience, holdout = await outcomes(services, spring(), until_sooner)
    assert audience.members + holdout.members == 200
