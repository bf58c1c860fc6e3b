"""Boosts by stored levels are those of a fold over all facts, whatever happened and whatever is stored then.

Where a fold has to say it, the facts that no window counts any more are left out of it.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import pytest
from sqlalchemy import text

from engage.domain.activity import FuelTap
from engage.domain.earning.boost import Boost
from engage.domain.keys import MemberKey
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.programs.publish import publish
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import ReviewReference, ReviewRemovedEvent
from engage.flows.shop.take_events import take_events
from engage.flows.tiers.react import activate_status, end_levels, store_levels
from engage.runtime.database import one_statement
from engage.runtime.levels import Moment, boosts_of, groups_asked, known_levels, levels_at, read_facts
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.campaigns.member_facts import read_member_facts
from engage.store.tiers.known_levels import MOST_NOTES
from engage.store.tiers.movements import read_movements
from tests.support import tiers
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, advance
from tests.support.programs import rule
from tests.support.tiers import (
    HEAD,
    PROGRAM,
    delivered,
    join,
    paid,
    react,
    returned,
    review,
    send,
    services_with_tiers,
    tap,
)

ZONE = "Asia/Kolkata"
STEPS = 60
MEMBERS = ("m-1", "m-2", "m-3", "m-4")

RULES = (
    rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 20)
    + rule("review", 'activity = "review"', 'type = "once_per", field = "product_id"', 20)
    + rule("review_status", 'activity = "review"', 'type = "once_per", field = "product_id"', 5)
    + 'unit = "status"\n'
    + rule(
        "purchase",
        'activity = "order"',
        'type = "once_per", field = "order_id"',
        'type = "per_spend", points = 1, step_minor = 1_000',
        due='type = "on_delivery"',
    )
)


def group(id_: str, metric: str, window: str, levels: dict[int, float], grace: str = "P0D") -> str:
    shown = ", ".join(
        f'{{ id = "{id_}_{start}", title.en = "L", from = {start}, benefits.multiply = {by} }}'
        for start, by in levels.items()
    )
    return (
        f'[[tier_groups]]\nid = "{id_}"\nmetric = "{metric}"\nwindow = "{window}"\ngrace = "{grace}"\n'
        f"levels = [{shown}]\n"
    )


GROUPS = (
    group("spend", "spend_minor", "calendar_year", {0: 1, 100_00: 1.5, 300_00: 2}, "P30D")
    + group("points", "points_earned", "rolling_12_months", {40: 1.2, 150: 1.5})
    + group("fans", "status", "lifetime", {10: 1.1, 25: 1.3})
)
DOCUMENT = HEAD + RULES + GROUPS


async def both(
    services: Services, members: Sequence[MemberKey], at: datetime
) -> tuple[dict[MemberKey, tuple[Boost, ...]], dict[MemberKey, tuple[Boost, ...]]]:
    """(boosts as far as they are known by what is stored, boosts by all facts) at an instant."""
    moment = Moment(await groups_asked(services, PROGRAM, "1"), at, ZONE)
    async with one_statement(services.db) as conn:
        stored = await read_member_facts(conn, levels_of=members, payments={}, stays={})
        levels = known_levels(dict.fromkeys(members, moment), stored.levels)
        facts = await read_movements(conn, members, {"spend_minor", "points_earned", "status"})
        counted = await read_facts(conn, {member: [moment] for member in members})
    folded = {member: levels_at(moment, facts[member]) for member in members}
    assert {member: levels_at(moment, counted[member]) for member in members} == folded
    known = {member: boosts_of(held) for member, held in levels.items()}
    return known, {member: boosts_of(held) for member, held in folded.items()}


class History:
    """Random facts of some members, and reactions that run now and then."""

    def __init__(self, services: Services, seed: int) -> None:
        self.services = services
        self.random = Random(seed)
        self.members = list(MEMBERS)
        self.orders: list[tuple[str, str, datetime]] = []
        self.reviews: list[tuple[str, str]] = []
        self.known: Counter[bool] = Counter()

    async def play(self) -> None:
        for number in range(STEPS):
            await self._step(number)
            if self.random.random() < 0.5:
                await react(self.services)
            await self._compare()

    async def _step(self, number: int) -> None:
        services, random, now = self.services, self.random, self.services.clock.now()
        member = random.choice(self.members)
        match random.choice(["tap", "tap", "review", "paid", "late", "ahead", "returned", "removed", "time"]):
            case "tap":
                await self._tap(member)
            case "review":
                await review(services, f"r-{number}", member)
                self.reviews.append((member, f"r-{number}"))
            case "paid":
                await self._pay(member, number, now)
            case "late":
                await self._pay(member, number, now - random.random() * 5 * DAY)
            case "ahead":
                await self._pay(member, number, now + timedelta(minutes=random.random() * 4))
            case "returned" if self.orders:
                order_id, owner, paid_at = random.choice(self.orders)
                at = paid_at + random.random() * (max(now, paid_at) - paid_at)
                lines = random.choice([(), ("0",)])
                # What is back already is refused.
                await take_events(services, [returned(services, order_id, *lines, member_id=owner, at=at)])
            case "removed" if self.reviews:
                owner, review_id = self.reviews.pop(random.randrange(len(self.reviews)))
                await send(services, removed(services, owner, review_id))
            case _:
                advance(services, random.choice([FIVE_MINUTES, DAY, 50 * DAY, 170 * DAY]))
                await self._do_what_is_due()
        if number == STEPS // 2:
            await merge_members(services, PROGRAM, "m-3", into="m-1", reason="one person", operator="key-1")
            self.members.remove("m-3")
            self.orders = [(id_, "m-1" if owner == "m-3" else owner, at) for id_, owner, at in self.orders]
            self.reviews = [("m-1" if owner == "m-3" else owner, id_) for owner, id_ in self.reviews]
        if number == STEPS * 3 // 4:
            await erase_member(services, PROGRAM, "m-4", operator="key-1")
            self.members.remove("m-4")
            self.orders = [order for order in self.orders if order[1] != "m-4"]
            self.reviews = [(owner, id_) for owner, id_ in self.reviews if owner != "m-4"]

    async def _tap(self, member: str) -> None:
        _, folded = await both(self.services, [(PROGRAM, member)], self.services.clock.now())
        named = MemberActivity(PROGRAM, member, FuelTap(), self.services.clock.now())
        (answer,) = await record(self.services, [named])
        if isinstance(answer, RecordedActivity):  # The first one of the day.
            expected = {boost.id for boost in folded[PROGRAM, member]}
            assert {credit.boost for credit in answer.credits if credit.boost} == expected

    async def _pay(self, member: str, number: int, at: datetime) -> None:
        order_id, amounts = f"o-{number}", self.random.choices([20_00, 60_00, 150_00], k=2)
        await send(self.services, paid(self.services, order_id, *amounts, member_id=member, at=at))
        self.orders.append((order_id, member, at))

    async def _do_what_is_due(self) -> None:
        services, now = self.services, self.services.clock.now()
        if self.random.random() < 0.5:
            await settle_due(services, now=now)
            await activate_status(services, now=now)
        if self.random.random() < 0.5:
            await end_levels(services, now=now)
        if self.orders and self.random.random() < 0.5:
            order_id, owner, _ = self.random.choice(self.orders)
            await send(services, delivered(services, order_id, owner))

    async def _compare(self) -> None:
        now, members = self.services.clock.now(), [(PROGRAM, member) for member in self.members]
        for at in (now, now + 4 * timedelta(minutes=1), now - DAY, now - self.random.random() * 300 * DAY):
            known, folded = await both(self.services, members, at)
            for member, boosts in known.items():
                assert boosts == folded[member], (member, at)
            if at == now:
                self.known.update(member in known for member in members)


def removed(services: Services, member_id: str, review_id: str) -> ReviewRemovedEvent:
    return ReviewRemovedEvent(
        id=f"gone-{member_id}-{review_id}",
        program=PROGRAM,
        member_id=member_id,
        time=services.clock.now(),
        data=ReviewReference(review_id=review_id),
    )


@pytest.mark.parametrize("seed", range(6))
async def test_known_boosts_are_those_of_the_facts(settings: Settings, seed: int) -> None:
    async with services_with_tiers(settings, DOCUMENT) as services:
        for member in MEMBERS:
            await join(services, member)
        history = History(services, seed)
        await history.play()
        # Both ways were taken, so the comparison says something.
        assert history.known[True] > STEPS / 2, history.known
        assert history.known[False] > STEPS / 8, history.known
        await react(services)
        await end_levels(services, now=services.clock.now())
        await assert_audit_is_clean(services)


async def known(services: Services) -> tuple[Boost, ...] | None:
    found, _ = await both(services, [(PROGRAM, "m-1")], services.clock.now())
    return found.get((PROGRAM, "m-1"))


async def test_a_member_without_facts_is_known(services: Services) -> None:
    assert await known(services) == ()


async def test_a_level_is_known_from_the_reaction_on_until_the_next_change(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    assert await known(services) is None
    await react(services)
    found = await known(services)
    assert [boost.id for boost in found or ()] == ["tier:gold"]
    await send(services, returned(services, "o-1"))
    assert await known(services) is None
    await react(services)
    assert await known(services) == found
    # The level ended with the grace of its year, and nobody has stored that yet.
    advance(services, timedelta(days=100))
    assert await known(services) is None
    await end_levels(services, now=services.clock.now())
    assert await known(services) == ()


async def test_levels_of_other_terms_are_not_relied_on(services: Services, other: Services) -> None:
    await send(services, paid(services, "o-1", 250_00))
    await react(services)
    document = tiers.DOCUMENT.replace('version = "1"', 'version = "2"')
    document = document.replace("2020-01-01", "2026-12-01").replace("from = 300_00", "from = 200_00")
    await publish(services.db, document, source="test", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    assert {credit.boost for credit in await tap(services)} == {None, "tier:silver"}
    await react(services)
    advance(services, timedelta(days=11))
    assert {credit.boost for credit in await tap(services) if credit.rule == "fuel"} == {None, "tier:gold"}
    await react(services)
    # An activity of before, which is decided by the version of its time.
    late = services.clock.now() - timedelta(days=8)
    assert all(credit.boost in (None, "tier:silver") for credit in await tap(services, at=late))


async def test_with_very_many_notes_facts_say_it(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    await react(services)
    add = """
    INSERT INTO member_changes (id, at, program_id, member_ids)
    SELECT uuidv7(), :at, 'club', ARRAY['m-2'] FROM generate_series(1, :count)
    """
    async with services.db.begin() as conn:
        await conn.execute(text(add), {"at": services.clock.now(), "count": MOST_NOTES})
    assert await known(services) is not None
    async with services.db.begin() as conn:
        await conn.execute(text(add), {"at": services.clock.now(), "count": 1})
    assert await known(services) is None
    await react(services)


async def test_a_level_of_before_the_newest_facts_is_not_relied_on(services: Services) -> None:
    await send(services, paid(services, "o-1", 300_00))
    await react(services)
    # By a worker whose work began before the order was paid.
    await store_levels(services, [(PROGRAM, "m-1")], now=services.clock.now() - timedelta(hours=1))
    assert await known(services) is None
