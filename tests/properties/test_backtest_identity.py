"""A backtest of what was in force grants exactly what was granted, credit by credit.

Members tap, review, buy and return, rise to levels and are listed in segments. Campaigns are in force beside
each other, and one of them comes, pauses, changes and goes. Each campaign that was in force all the time is
then tried as a draft on all that happened.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engage.domain.activity import AnyActivity, FuelTap, Review
from engage.domain.backtests.activities import Boosted, StoredCredit
from engage.domain.backtests.deciding import Change, MemberTrial
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.backtests import backtest
from tests.support.blocking import BlockingServices, blocking
from tests.support.campaigns import act_on, approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.generated_cases import cases
from tests.support.segments import put
from tests.support.tiers import PROGRAM, join, paid, react, returned, send, services_with_tiers

EXAMPLES = 40
MEMBERS = 3
SPAN = timedelta(days=20)

# As they were granted: pending points that were taken back since are reductions.
GRANTED = """
SELECT coalesce(sum(c.points + coalesce(r.points, 0)), 0) FROM credits c
LEFT JOIN (SELECT credit_id, sum(points) AS points FROM reductions GROUP BY credit_id) r ON r.credit_id = c.id
WHERE c.unit = 'points' AND c.points > 0 AND starts_with(c.member_id, :population)
"""

Kind = Literal[
    "tap", "review", "buy", "late", "back", "wait", "listed", "react", "pause", "resume", "change", "end"
]
Step = tuple[Kind, int]
Boosts = Mapping[str, Boosted]

_numbers = count(1)

KINDS: tuple[Kind, ...] = (
    *("tap", "tap", "review", "buy", "buy", "late", "back", "wait", "wait", "listed", "react"),
    *("pause", "resume", "change", "end"),
)
steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 23)), min_size=4, max_size=24)

audiences = st.fixed_dictionaries(
    {},
    optional={
        "tiers": st.lists(
            st.sampled_from(["blue", "silver", "gold", "fan"]), min_size=1, max_size=2, unique=True
        ),
        "segments": st.just(["loyal"]),
        "first_order": st.just(value=True),
        "no_order_for": st.sampled_from(["P1D", "P3D"]),
        "percent": st.sampled_from([40, 80]),
    },
).filter(lambda audience: not {"first_order", "no_order_for"} <= audience.keys())
added = st.one_of(
    st.builds(lambda by: {"multiply": by}, st.sampled_from([1.5, 2, 3])),
    st.builds(lambda points: {"add": points}, st.integers(1, 9)),
)
_rules = st.lists(st.sampled_from(["fuel", "fuel_bonus", "review"]), min_size=1, max_size=3, unique=True)
timed = st.fixed_dictionaries(
    {"rules": _rules},
    optional={"hours": st.just(["10:00", "20:00"]), "weekdays": st.just(["sat", "sun", "tue"])},
).filter(lambda about: len(about) > 1)
always = st.fixed_dictionaries({"rules": _rules})
about_orders = st.fixed_dictionaries(
    {"rules": st.just(["purchase"])},
    optional={"min_amount_minor": st.just(40_00), "products": st.just(["p"]), "channels": st.just(["web"])},
)


def boosts_about(*abouts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """One boost about each, in this order."""
    return st.tuples(*(st.builds(lambda about, adds: about | adds, about, added) for about in abouts)).map(
        list
    )


# A boost that always applies is the last one about its rules.
boosts = st.one_of(
    *(boosts_about(each) for each in (timed, always, about_orders)),
    boosts_about(timed, always),
    boosts_about(timed, about_orders),
    boosts_about(about_orders, timed, always),
)
stackings = st.fixed_dictionaries(
    {},
    optional={
        "group": st.sampled_from(["g", "h"]),
        "priority": st.integers(-2, 2),
        "exclusive": st.booleans(),
        "max_multiplier": st.sampled_from([1.5, 2, 4]),
    },
)
campaigns = st.fixed_dictionaries(
    {"boosts": boosts, "stacking": stackings, "audience": audiences},
    optional={
        "holdout_percent": st.sampled_from([30, 60]),
        "rules": st.lists(
            st.sampled_from(["fuel_tap", "review", "order"]), min_size=1, max_size=3, unique=True
        ),
    },
)


class Population:
    """Some members in a time of their own, and the campaigns then."""

    def __init__(self, services: Services, documents: list[dict[str, Any]]) -> None:
        self.services = services
        self.number = next(_numbers)
        self.begin = advance(services, DAY)
        times = {
            "zone": "UTC",
            "from": _local(self.begin - DAY),
            "until": _local(self.begin + SPAN),
        }
        self.campaigns = [self._document(n, each | times) for n, each in enumerate(documents)]
        self.orders: list[tuple[str, str]] = []
        self.version = 0

    def _document(self, n: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        numbered = [
            boost(*each["rules"], id_=f"b{i}", **_rest(each)) for i, each in enumerate(fields["boosts"])
        ]
        rules = [_rule(f"{each}_{self.number}_{n}", each) for each in fields.get("rules", ())]
        return document(f"c{self.number}-{n}", **{**fields, "boosts": numbered, "rules": rules})

    @property
    def changing(self) -> dict[str, Any]:
        return self.campaigns[0]

    @property
    def constant(self) -> list[dict[str, Any]]:
        return self.campaigns[1:]

    def member(self, number: int) -> str:
        return f"l{self.number}-{number % MEMBERS}"

    async def live(self, steps: list[Step]) -> None:
        for number in range(MEMBERS):
            await join(self.services, self.member(number))
        for campaign in self.constant:
            await approve(self.services, campaign, at=self.services.clock.now())
        await self.in_force()
        self.begin = self.services.clock.now()
        for kind, number in steps:
            await self.do(kind, number)

    async def record(self, member: str, activity: AnyActivity) -> None:
        """Record an activity, which a limit may refuse."""
        await record(self.services, [MemberActivity(PROGRAM, member, activity, self.services.clock.now())])

    async def in_force(self) -> None:
        """Wait until what was done is in force."""
        advance(self.services, timedelta(seconds=3))
        await self.services.campaigns.refresh(self.services.db)

    async def do(self, kind: Kind, number: int) -> None:
        services, member = self.services, self.member(number)
        match kind:
            case "tap":
                await self.record(member, FuelTap())
            case "review":
                product = f"p-{number}"
                await self.record(member, Review(product_id=product, review_id=f"{product}-{member}"))
            case "buy" | "late":
                order_id = f"o-{self.number}-{len(self.orders)}"
                at = services.clock.now() - (number * timedelta(hours=1) if kind == "late" else timedelta(0))
                self.orders.append((order_id, member))
                await send(
                    services, paid(services, order_id, 10_00 + 9_17 * number, 30_50, member_id=member, at=at)
                )
            case "back" if self.orders:
                order_id, buyer = self.orders[number % len(self.orders)]
                lines = ("0", "1")[: number % 3]
                await take_events(services, [returned(services, order_id, *lines, member_id=buyer)])
            case "wait":
                advance(services, timedelta(minutes=47) * (number + 1))
            case "listed":
                listed = [self.member(n) for n in range(MEMBERS) if number >> n & 1]
                await put(services, listed, program=PROGRAM)
            case "react":
                await react(services)
            case "pause" | "resume" | "end" if self.version:
                actions: dict[str, Any] = {"pause": "paused", "resume": "resumed", "end": "ended"}
                await act_on(
                    services, self.changing, actions[kind], version=self.version, at=services.clock.now()
                )
                await self.in_force()
            case "change":
                self.version += 1
                changed = self.changing | {"holdout_percent": 0 if self.version % 2 else 50}
                await approve(services, changed, version=self.version, at=services.clock.now())
                await self.in_force()
            case _:
                return
        advance(services, timedelta(seconds=1))


def _rule(id_: str, activity: str) -> dict[str, Any]:
    """A rule of a campaign's own about an activity."""
    once_a_day = {"type": "per_window", "window": "day", "count": 1}
    due = {"type": "after", "delay": "PT5M"}
    named = {"id": id_, "title": id_, "on": {"activity": activity}}
    if activity == "order":
        award = {"type": "per_spend", "points": 1, "step_minor": 300}
        return named | {"limit": {"type": "once_per", "field": "order_id"}, "award": award, "due": due}
    return named | {"limit": once_a_day, "award": {"type": "fixed", "points": 7}, "due": due}


def _local(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _rest(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "rules"}


@contextmanager
def decisions() -> Iterator[list[tuple[StoredCredit, Boosts, Boosts]]]:
    """The credits that are decided about, each with the points beside it: decided, and granted."""
    change, seen = MemberTrial.change, list[tuple[StoredCredit, Boosts, Boosts]]()

    def noting(trial: MemberTrial, credit: StoredCredit) -> Change | None:
        found = change(trial, credit)
        if found is not None:
            decided = {**found.others, trial._deciding.trial.draft.id: found.draft}
            granted = trial._history.boosts.get(credit.source_key, {})
            seen.append((credit, {name: each for name, each in decided.items() if each.points}, granted))
        return found

    with patch.object(MemberTrial, "change", noting):
        yield seen


async def play(services: Services, documents: list[dict[str, Any]], steps: list[Step]) -> None:
    population = Population(services, documents)
    await population.live(steps)
    until = advance(services, timedelta(seconds=1))
    for campaign in population.constant:
        with decisions() as decided:
            found = await backtest(services, campaign, begin=population.begin, until=until)
        assert [each for each in decided if each[1] != each[2]] == []
        granted = await rows(services.db, GRANTED, population=f"l{population.number}-")
        assert [(found.granted_points,)] == granted
        assert (found.difference_points, found.gaining, found.losing) == (0, 0, 0)
        assert all(day.difference_points == 0 for day in found.by_day)
        assert (found.grantable_points, found.most_affected) == (0, [])


@pytest.fixture(scope="module")
def services(module_database: Settings) -> Iterator[BlockingServices]:
    with blocking(services_with_tiers(module_database)) as opened:
        opened.run(put(opened.services, [], program=PROGRAM))
        yield opened
        opened.run(assert_audit_is_clean(opened.services))


@given(documents=st.lists(campaigns, min_size=2, max_size=4), steps=steps)
@hypothesis_settings(max_examples=cases(EXAMPLES), suppress_health_check=list(HealthCheck))
def test_a_backtest_of_what_was_in_force_changes_nothing(
    services: BlockingServices, documents: list[dict[str, Any]], steps: list[Step]
) -> None:
    services.run(play(services.services, documents, steps))
