"""Reactions to changed facts of members run after every change, at least once, whatever fails."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from engage.domain.keys import MemberKey
from engage.domain.refusals import Unavailable
from engage.flows.activities.confirmations import lapse_due
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.operations.audit import audit
from engage.flows.scheduled import reactions
from engage.flows.scheduled.advance_clock import advance_clock
from engage.flows.scheduled.reactions import react_due, react_once
from engage.flows.shop.take_events import take_events
from engage.runtime.definition_cache import DefinitionCache
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    join,
    perform,
    review,
    review_removed,
    services_with_activities,
    tap,
)
from tests.support.clock import DAY, advance, running_clock
from tests.support.database import rows
from tests.support.eventually import WITHIN_S


class Noting:
    """A reaction that notes for whom it ran. `broken` are members that it has a bug for."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.broken: set[str] = set()
        self.away = False

    async def react(self, services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
        if self.away:
            raise Unavailable("postgres")
        for _, member_id in members:
            if member_id in self.broken:
                raise ValueError(member_id)
        self.ran.append([member_id for _, member_id in members])


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> Noting:
    noting = Noting()
    monkeypatch.setattr(reactions, "REACTIONS", (Reaction("noting", noting.react),))
    monkeypatch.setattr(DefinitionCache, "reacting_programs", lambda self: frozenset({PROGRAM}))
    return noting


async def ran(services: Services, noting: Noting) -> list[str]:
    """Run reactions; for whom, in order."""
    noting.ran.clear()
    await react_due(services, now=services.clock.now())
    return sorted({member_id for members in noting.ran for member_id in members})


async def waiting(services: Services) -> object:
    ((count,),) = await rows(services.db, "SELECT count(*) FROM member_changes")
    return count


async def test_every_change_of_facts_is_followed_by_a_reaction(services: Services, noting: Noting) -> None:
    await join(services)
    await join(services, "m-2")
    assert await ran(services, noting) == ["m-1", "m-2"], "points of the registration"
    await perform(services, tap())
    assert await ran(services, noting) == ["m-1"]
    await perform(services, review(), "m-2")
    assert await ran(services, noting) == ["m-2"]
    await take_events(services, [review_removed(services, "r-1", "m-2")])
    assert await ran(services, noting) == ["m-2"]
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="same", operator="test")
    assert await ran(services, noting) == ["m-1"], "the survivor"
    await erase_member(services, PROGRAM, "m-1", operator="test")
    assert await ran(services, noting) == ["m-1"]
    assert await ran(services, noting) == []
    assert await waiting(services) == 0


async def test_a_credit_that_lapses_is_a_change(settings: Settings, noting: Noting) -> None:
    async with services_with_activities(settings, capped=True) as services:
        await join(services)
        await perform(services, review())
        await ran(services, noting)
        advance(services, 3 * DAY)
        assert await lapse_due(services, now=services.clock.now()) == 1
        assert await ran(services, noting) == ["m-1"]


async def test_members_who_go_on_acting_do_not_hold_up_a_clock_that_is_advanced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = Noting()

    async def react(services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
        """Let another member join, as somebody always does where there are many."""
        await noting.react(services, members, now=now)
        await join(services, f"m-{len(noting.ran)}")

    monkeypatch.setattr(reactions, "REACTIONS", (Reaction("noting", react),))
    monkeypatch.setattr(DefinitionCache, "reacting_programs", lambda self: frozenset({PROGRAM}))
    async with services_with_activities(settings, running_clock()) as services:
        await join(services, "m-0")
        await advance_clock(services, by=3 * DAY)
        assert 0 < len(noting.ran) < 50
        assert await rows(services.db, "SELECT count(*) > 0 FROM credits WHERE state = 'active'") == [(True,)]


async def test_where_nothing_reacts_nothing_is_noted(services: Services) -> None:
    await join(services)
    await perform(services, tap())
    assert await waiting(services) == 0


async def test_a_refused_activity_is_no_change(services: Services, noting: Noting) -> None:
    await join(services)
    await perform(services, tap())
    await ran(services, noting)
    with pytest.raises(Exception, match="already_tapped"):
        await perform(services, tap())
    assert await waiting(services) == 0


async def test_a_change_stays_noted_until_its_reaction_is_done(services: Services, noting: Noting) -> None:
    await join(services)
    noting.away = True
    with pytest.raises(Unavailable):
        await react_once(services, now=services.clock.now())
    assert await waiting(services) == 1
    noting.away = False
    assert await ran(services, noting) == ["m-1"]


async def test_a_bug_for_one_member_does_not_hold_up_the_others(
    services: Services, settings: Settings, noting: Noting
) -> None:
    for n in range(4):
        await join(services, f"m-{n}")
    noting.broken = {"m-2"}
    assert await ran(services, noting) == ["m-0", "m-1", "m-3"]
    assert await waiting(services) == 1
    for _ in range(3):
        assert await ran(services, noting) == [], "not at once"
        advance(services, timedelta(minutes=1))
        await react_due(services, now=services.clock.now())
    late = (await audit(settings)).late
    assert "reactions_done" in [finding.check.name for finding in late]
    noting.broken.clear()
    advance(services, timedelta(minutes=1))
    assert await ran(services, noting) == ["m-2"]


async def test_two_workers_do_not_take_the_same_changes(
    services: Services, other: Services, noting: Noting
) -> None:
    for n in range(8):
        await join(services, f"m-{n}")
    now = services.clock.now()
    done = await asyncio.gather(*(react_due(each, now=now) for each in (services, other)))
    assert sum(done) == 8
    assert sorted(member_id for members in noting.ran for member_id in members) == [
        f"m-{n}" for n in range(8)
    ]


async def test_the_clock_advances_when_all_reactions_are_done(services: Services, noting: Noting) -> None:
    await join(services)
    await perform(services, tap())
    await advance_clock(services, by=DAY)
    assert await waiting(services) == 0
    assert noting.ran


async def test_a_commit_rings_for_reactions(services: Services, noting: Noting) -> None:
    await join(services)
    await services.post_commit.drain()
    jobs = await services.doorbell._queue.queued_jobs(queue_name="engage:queue")
    assert "react" in {job.function for job in jobs}


async def test_many_calls_at_once_do_not_starve_each_other(services: Services, noting: Noting) -> None:
    """Each needs a connection while it holds one, and a process has ten of them."""
    for number in range(30):
        await join(services, f"m-{number}")
    now = services.clock.now()
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(react_due(services, now=now) for _ in range(30)))
    assert await waiting(services) == 0
    assert sorted({name for names in noting.ran for name in names}) == sorted(f"m-{n}" for n in range(30))
