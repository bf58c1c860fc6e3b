"""Campaigns for segments with rules of their own: paid, tried on members and on somebody made up.

A dry run says what then happens, by the list or the conditions at the time that is asked about.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import pytest

from engage.domain.activity import FuelTap, Review, RuleActivity
from engage.domain.campaigns.definition import Campaign
from engage.domain.program.example import TimedStep
from engage.flows.campaigns.dry_run import DryRunRequest, DryRunResult, MadeUpMember, dry_run
from engage.flows.campaigns.simulate import SimulationRequest, run_simulation
from engage.runtime.services import Services
from tests.flows.campaigns.test_rules import rule
from tests.support.campaigns import approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.segments import define, put
from tests.support.tiers import PROGRAM, act, paid, send

EXTRA: Final = rule("extra", "review", {"type": "per_window", "window": "day", "count": 9})
GIFT: Final = rule("gift", "order", {"type": "once_per", "field": "order_id"}, points=9)
LOYAL: Final = document(
    "loyals",
    audience={"segments": ["loyal"]},
    rules=[EXTRA, GIFT],
    boosts=[boost("review", multiply=2), boost("fuel", id_="fuel", add=4)],
)

Credit = tuple[str, int, str | None, str | None]
Earned = set[Credit]

# The base, the rule of the campaign, and its boost.
BASE: Final[Earned] = {("review", 20, None, None), ("review_status", 5, None, None)}
BOOSTED: Final[Earned] = {*BASE, ("extra", 7, "loyals", None), ("review", 20, "loyals", "more")}


def review(name: str) -> Review:
    return Review(product_id=name, review_id=name)


def of_campaigns(credits: Iterable[Credit]) -> Earned:
    """Without what levels add."""
    return {credit for credit in credits if credit[3] is None or credit[2] is not None}


async def earned(services: Services, activity: Review | FuelTap, at: datetime, member: str = "m-1") -> Earned:
    credits = await act(services, activity, member, at)
    return of_campaigns((credit.rule, credit.points, credit.campaign, credit.boost) for credit in credits)


async def tried(services: Services, activity: RuleActivity, **asked: Any) -> DryRunResult:
    fields: dict[str, Any] = {
        "program_id": PROGRAM,
        "document": None,
        "campaign_ids": ["loyals"],
        "member_id": None,
        "made_up": None,
        "at": None,
    }
    return await dry_run(services, DryRunRequest(activity=activity, **(fields | asked)))


def shown(result: DryRunResult) -> Earned:
    return of_campaigns(
        (credit.rule_id, credit.points, credit.campaign, credit.boost) for credit in result.outcome.credits
    )


def reasons(result: DryRunResult) -> set[tuple[str, bool, str]]:
    return {(look.part, look.applied, look.reason.value) for look in result.outcome.trace}


async def into(services: Services, kind: str, members: Sequence[str]) -> datetime:
    """Bring members into the segment, by name or by conditions that are true of them."""
    if kind == "list":
        return (await put(services, members, "loyal", program=PROGRAM)).since
    return (await define(services, {"tiers": ["gold"]}, "loyal", program=PROGRAM)).since


@pytest.mark.parametrize("kind", ["list", "computed"])
async def test_a_rule_pays_members_of_the_segment_as_its_dry_run_says(
    services: Services, other: Services, kind: str
) -> None:
    await approve(services, LOYAL)
    await send(services, paid(services, "o-1", 300_00, member_id="m-1"))
    before = services.clock.now()
    await into(services, kind, ["m-1"])
    advance(services, DAY)
    now = services.clock.now()
    for process in (services, other):
        for member, at, expected in (
            ("m-1", now, BOOSTED),
            ("m-1", before, BASE),
            ("m-2", now, BASE),
            ("m-2", before, BASE),
        ):
            activity = review(f"{kind}-{member}-{at:%d}-{process is other}")
            dry = await tried(process, activity, member_id=member, at=at)
            assert shown(dry) == expected
            assert await earned(process, activity, at, member) == expected
            if expected == BASE:
                assert ("audience", False, "segment") in reasons(dry)


async def test_an_order_earns_a_rule_by_the_list_at_its_payment(services: Services) -> None:
    await approve(services, LOYAL)
    before = services.clock.now()
    await put(services, ["m-1"], "loyal", program=PROGRAM)
    now = services.clock.now()
    events = [
        paid(services, f"{member}-{name}", 100_00, member_id=member, at=at)
        for member in ("m-1", "m-2")
        for name, at in (("before", before), ("now", now))
    ]
    for event in events:
        order = event.data.order()
        dry = await tried(services, order, member_id=event.member_id, at=event.time)
        gifts = [credit.points for credit in dry.outcome.credits if credit.campaign == "loyals"]
        assert gifts == ([9] if order.order_id == "m-1-now" else []), event
    await send(services, *events)
    found = await rows(services.db, "SELECT source_key FROM credits WHERE campaign = 'loyals'")
    assert found == [("order:m-1-now:gift",)]


async def test_somebody_made_up_is_in_the_segments_that_are_named(services: Services) -> None:
    await approve(services, LOYAL)
    for segments, expected in ((["loyal"], BOOSTED), (["others", "loyal"], BOOSTED), (["others"], BASE)):
        facts = MadeUpMember(country="IN", segments=segments)
        assert shown(await tried(services, review("r"), made_up=facts)) == expected
    assert shown(await tried(services, review("r"), made_up=MadeUpMember(country="IN"))) == BASE


@pytest.mark.parametrize("stored", [True, False])
async def test_a_simulated_member_is_in_the_segments_that_are_named(services: Services, stored: bool) -> None:
    if stored:
        await approve(services, LOYAL)
    else:
        await put(services, [], "loyal", program=PROGRAM)
    doing = [
        {"at": "2026-11-22T10:00:00", "do": {"activity": "review", "product_id": "p", "review_id": "r"}},
        {"at": "2026-11-22T11:00:00", "do": {"activity": "fuel_tap"}},
    ]
    for segments, expected in (
        (["loyal"], {*BOOSTED, ("fuel", 3, None, None), ("fuel", 4, "loyals", "fuel")}),
        (["others"], {*BASE, ("fuel", 3, None, None)}),
        ([], {*BASE, ("fuel", 3, None, None)}),
    ):
        request = SimulationRequest(
            program_id=PROGRAM,
            documents=[] if stored else [msgspec.convert(LOYAL, Campaign)],
            campaign_ids=["loyals"] if stored else [],
            country="IN",
            segments=segments,
            steps=[msgspec.convert(step, TimedStep) for step in doing],
        )
        statement = await run_simulation(services, request)
        found = {
            (credit.rule_id, credit.points, credit.campaign, credit.boost) for credit in statement.credits
        }
        assert found == expected
