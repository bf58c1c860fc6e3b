"""Operators change campaigns while four processes record: each credit is explained by what was in force then.

What was in force at an instant is computed here from the rows of actions and documents alone, in plain words,
and compared with every credit that was accepted.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from engage.clock import Clock
from engage.domain.activity import Review
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import ActionKind
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.campaigns.act import act
from engage.flows.campaigns.change import change, create
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import boost, document, operator
from tests.support.clock import NOON
from tests.support.database import rows
from tests.support.tiers import PROGRAM, join, paid, send, services_with_tiers

ZONE = ZoneInfo("Asia/Kolkata")
LASTS = timedelta(seconds=8)
MEMBERS = [f"m-{number}" for number in range(12)]

KINDS: tuple[ActionKind, ...] = (*("approved", "paused", "resumed") * 6, "ended")

_numbers = count(1)


class Stored(Struct, frozen=True):
    """A campaign as the database has it: documents by version, and actions in order."""

    documents: dict[int, dict[str, Any]]
    actions: list[tuple[str, int, datetime]]

    def version_at(self, at: datetime) -> int | None:
        """The version in force at an instant, in the zone of the tests."""
        version, paused = None, False
        for kind, about, effective_at in self.actions:
            if effective_at > at:
                break
            match kind:
                case "approved":
                    version = about
                case "paused":
                    paused = True
                case "resumed":
                    paused = False
                case "ended":
                    return None
        if version is None or paused:
            return None
        begin, end = (
            datetime.fromisoformat(self.documents[version][name]).replace(tzinfo=ZONE)
            for name in ("from", "until")
        )
        return version if begin <= at < end else None


async def read_campaigns(services: Services) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for id_, version, stored in await rows(
        services.db, "SELECT campaign_id, version, document FROM campaign_versions"
    ):
        found.setdefault(str(id_), Stored({}, [])).documents[version] = stored  # type: ignore[index, assignment]
    for id_, kind, version, effective_at in await rows(
        services.db,
        "SELECT campaign_id, kind, version, effective_at FROM campaign_actions ORDER BY campaign_id, number",
    ):
        found[str(id_)].actions.append((kind, version, effective_at))  # type: ignore[arg-type]
    return found


class Operators:
    """One process in which two operators do what comes to their minds. `done` counts what they did."""

    def __init__(self, services: Services, random: Random) -> None:
        self.services = services
        self.random = random
        self.done: Counter[str] = Counter()

    async def work(self, until: datetime) -> None:
        for number in range(5):
            await self._publish(f"c{number}")
        while self.services.clock.now() < until:
            id_ = f"c{self.random.randrange(5)}"
            kind = self.random.choice(KINDS)
            try:
                await (self._publish(id_) if kind == "approved" else self._act(id_, kind))
            except Refusal as refusal:
                if refusal.code != Code.WRONG_STATE:
                    raise

    async def _publish(self, id_: str) -> None:
        """Write the next version, or change one that is no more than submitted, and approve it."""
        stored = await rows(
            self.services.db,
            "SELECT version, revision FROM campaign_versions WHERE campaign_id = :id ORDER BY version DESC",
            id=id_,
        )
        campaign = msgspec.convert(self._document(id_), Campaign)
        if stored:
            newest = int(str(stored[0][0])), int(str(stored[0][1]))
            await change(self.services, campaign, expected=newest, operator=operator("author"))
        else:
            await create(self.services, campaign, operator=operator("author"))
        await self._act(id_, "submitted")
        if self.random.random() < 0.1:
            await self._act(id_, "rejected")
            await self._act(id_, "submitted")
        await self._act(id_, "approved")

    async def _act(self, id_: str, kind: ActionKind) -> None:
        by = operator("approver" if kind in ("approved", "rejected") else "author")
        await act(self.services, (PROGRAM, id_), kind, operator=by, reason="why not")
        self.done[kind] += 1

    def _document(self, id_: str) -> dict[str, Any]:
        """Each version adds another number of points, so a credit shows its version."""
        boosts = [boost("review", "purchase", add=next(_numbers))]
        now = self.services.clock.now().astimezone(ZONE).replace(tzinfo=None, microsecond=0)
        begins = now + timedelta(seconds=self.random.randint(-60, 3))
        ends = now + timedelta(seconds=self.random.randint(4, 60))
        return document(id_, boosts=boosts, **{"from": begins.isoformat(), "until": ends.isoformat()})


async def record_reviews(services: Services, random: Random, until: datetime, begun: datetime) -> int:
    """Record reviews now and of moments ago, several at once; some orders too."""
    total = 0
    while (now := services.clock.now()) < until:
        number = next(_numbers)
        if random.random() < 0.2:
            at = now - random.random() * (now - begun)
            await send(services, paid(services, f"o-{number}", 5_00, member_id=random.choice(MEMBERS), at=at))
        ats = [now, now, now - random.random() * (now - begun)]
        batch = [
            MemberActivity(PROGRAM, member, Review(product_id=f"{number}-{n}", review_id=f"{number}-{n}"), at)
            for n, (member, at) in enumerate(zip(random.sample(MEMBERS, 3), ats, strict=True))
        ]
        answers = await record(services, batch)
        assert all(isinstance(answer, RecordedActivity) for answer in answers), answers
        total += len(answers)
    return total


async def test_each_credit_is_explained_by_what_was_in_force_at_its_instant(settings: Settings) -> None:
    random = Random(5)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(services_with_tiers(settings, clock=Clock()))
        others = [await stack.enter_async_context(open_services(settings, Clock())) for _ in range(4)]
        for services in others:
            await services.programs.refresh(services.db)
        for member in MEMBERS:
            await join(first, member)
        begun = first.clock.now()
        operators = Operators(first, random)
        until = begun + LASTS
        recorded = await asyncio.gather(
            operators.work(until),
            *(record_reviews(services, Random(n), until, begun) for n, services in enumerate(others)),
        )
        assert begun > NOON
        assert sum(total or 0 for total in recorded) > 100
        boosted, plain = await explain(first)
        assert min(boosted, plain) > 20
        assert operators.done["approved"] >= 5
        assert operators.done["paused"] > 0
        await assert_audit_is_clean(first)


async def explain(services: Services) -> tuple[int, int]:
    """Compare each base credit with the boosts beside it; how many have some, and how many have none."""
    campaigns = await read_campaigns(services)
    bases = await rows(
        services.db,
        "SELECT program_id, member_id, source_key, activity_at FROM credits"
        " WHERE rule_id IN ('review', 'purchase') AND beside IS NULL",
    )
    added: dict[tuple[str, str], set[tuple[object, ...]]] = {}
    for member, key, *boosted in await rows(
        services.db,
        "SELECT member_id, left(source_key, length(source_key) - length(beside) - 1), campaign,"
        " CAST(why -> 'trace' -> 0 -> 1 ->> 'version' AS int), points"
        " FROM credits WHERE campaign IS NOT NULL",
    ):
        added.setdefault((str(member), str(key)), set()).add(tuple(boosted))
    counts = {True: 0, False: 0}
    for _, member, key, at in bases:
        assert isinstance(at, datetime)
        expected = {
            (id_, version, stored.documents[version]["boosts"][0]["add"])
            for id_, stored in campaigns.items()
            if (version := stored.version_at(at)) is not None
        }
        assert added.pop((str(member), str(key)), set()) == expected, (key, at, _history_of(campaigns))
        counts[bool(expected)] += 1
    assert added == {}
    return counts[True], counts[False]


def _history_of(campaigns: dict[str, Stored]) -> Sequence[tuple[str, Any]]:
    return [(id_, stored.actions) for id_, stored in campaigns.items()]
