"""Operators change campaigns while four processes record: each credit is explained by what was in force then.

What was in force at an instant is computed here from the rows of actions and documents alone, in plain words,
and compared with every credit that was accepted.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import Struct

from engage.clock import Clock
from engage.domain.activity import Review
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import COMMITS_WITHIN, ActionKind
from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.campaigns import act as act_module
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
LASTS = timedelta(seconds=8)  # And longer on a slow machine, until there is enough to compare.
ENOUGH = {"reviews": 100, "boosted": 20, "approved": 5, "paused": 1, "resumed": 1}
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
    """One process in which two operators do what comes to their minds, with five campaigns that have not
    ended. `done` counts what was done.
    """

    def __init__(self, services: Services, random: Random, done: Counter[str]) -> None:
        self.services = services
        self.random = random
        self.done = done
        self.campaigns = [f"c{next(_numbers)}" for _ in range(5)]

    async def work(self) -> None:
        until = self.services.clock.now() + LASTS
        for id_ in self.campaigns:
            await self._try(id_, "approved")
        while self.services.clock.now() < until or any(self.done[name] < n for name, n in ENOUGH.items()):
            place = self.random.randrange(5)
            kind = self.random.choice(KINDS)
            if await self._try(self.campaigns[place], kind) and kind == "ended":
                self.campaigns[place] = f"c{next(_numbers)}"

    async def _try(self, id_: str, kind: ActionKind) -> bool:
        """False if it is not possible. On a slow machine a commit may take longer than it may, and the time
        of a campaign may be over before it is approved.
        """
        try:
            await (self._publish(id_) if kind == "approved" else self._act(id_, kind))
        except DocumentError:
            return False
        except Refusal as refusal:
            if refusal.code not in (Code.WRONG_STATE, Code.NOT_FOUND, Code.UNAVAILABLE):
                raise
            return False
        return True

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


async def record_some(services: Services, random: Random, begun: datetime, done: Counter[str]) -> None:
    """Record reviews now and of moments ago, several at once; an order too, or none."""
    now, number = services.clock.now(), next(_numbers)
    if random.random() < 0.2:
        at = now - random.random() * (now - begun)
        await send(services, paid(services, f"o-{number}", 5_00, member_id=random.choice(MEMBERS), at=at))
    ats = [now, now, now - random.random() * (now - begun)]
    batch = [
        MemberActivity(PROGRAM, member, Review(product_id=f"{number}-{n}", review_id=f"{number}-{n}"), at)
        for n, (member, at) in enumerate(zip(random.sample(MEMBERS, 3), ats, strict=True))
    ]
    for answer in await record(services, batch):
        assert isinstance(answer, RecordedActivity), answer
        done["reviews"] += 1
        done["boosted"] += any(credit.campaign is not None for credit in answer.credits)


async def go_on(record_more: Callable[[], Awaitable[None]], operating: asyncio.Task[None]) -> None:
    while not operating.done():
        await record_more()


async def test_each_credit_is_explained_by_what_was_in_force_at_its_instant(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act_module, "COMMITS_WITHIN", COMMITS_WITHIN)
    random = Random(5)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(services_with_tiers(settings, clock=Clock()))
        others = [await stack.enter_async_context(open_services(settings, Clock())) for _ in range(4)]
        for services in others:
            await services.programs.refresh(services.db)
        for member in MEMBERS:
            await join(first, member)
        begun = first.clock.now()
        assert begun > NOON
        done: Counter[str] = Counter()
        recording = [partial(record_some, each, Random(n), begun, done) for n, each in enumerate(others)]
        for record_more in recording * 3:
            await record_more()  # There are no campaigns yet.
        plain_at_least = done["reviews"]
        async with asyncio.TaskGroup() as group:
            operating = group.create_task(Operators(first, random, done).work())
            for record_more in recording:
                group.create_task(go_on(record_more, operating))
        boosted, plain = await explain(first)
        assert boosted >= ENOUGH["boosted"]
        assert plain >= plain_at_least > 20
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
