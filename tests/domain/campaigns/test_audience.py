"""Audiences: every condition has to hold at the time of the activity; shares are even and never change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engage.domain.campaigns.audience import (
    Facts,
    Reason,
    is_held_out,
    outside,
    share_of,
    why_not,
)
from engage.domain.campaigns.definition import Audience
from tests.domain.campaigns.campaigns import club_campaign

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)

members = st.integers(0, 10_000).map(lambda number: f"m-{number}")
facts_of_members = st.builds(
    Facts,
    program=st.just("club"),
    member_id=members,
    country=st.sampled_from(["ES", "NZ"]),
    zone=st.sampled_from(["Europe/Madrid", "Pacific/Auckland"]),
    joined_at=st.integers(-3, 3).map(lambda hours: AT + timedelta(hours=12 * hours)),
    levels=st.frozensets(st.sampled_from(["silver", "gold"])),
    segments=st.frozensets(st.sampled_from(["vip", "new"])),
    last_order_at=st.none() | st.integers(1, 20).map(lambda days: AT - timedelta(days=days)),
)
moments = st.integers(-3, 3).map(lambda half: AT.replace(tzinfo=None) + timedelta(hours=12 * half))
audiences = st.builds(
    Audience,
    countries=st.none() | st.just(["ES"]),
    tiers=st.none() | st.sampled_from([["gold"], ["silver", "gold"]]),
    segments=st.none() | st.sampled_from([["vip"], ["vip", "new"]]),
    joined_before=st.none() | moments,
    joined_after=st.none() | moments,
    first_order=st.booleans(),
    no_order_for=st.none() | st.integers(1, 20).map(lambda days: timedelta(days=days)),
    percent=st.none() | st.integers(1, 100),
)


OFFSETS = {"Europe/Madrid": timedelta(hours=1), "Pacific/Auckland": timedelta(hours=13)}


def holds(audience: Audience, facts: Facts) -> dict[Reason, bool]:
    """Each condition by itself."""
    joined = (facts.joined_at + OFFSETS[facts.zone]).replace(tzinfo=None)
    last = facts.last_order_at
    return {
        Reason.COUNTRY: audience.countries is None or facts.country in audience.countries,
        Reason.JOINED: (audience.joined_before is None or joined < audience.joined_before)
        and (audience.joined_after is None or joined >= audience.joined_after),
        Reason.PERCENT: audience.percent is None
        or share_of(facts.member_id, "club", "c", "percent") < audience.percent,
        Reason.TIER: audience.tiers is None or bool(facts.levels & set(audience.tiers)),
        Reason.SEGMENT: audience.segments is None or bool(facts.segments & set(audience.segments)),
        Reason.FIRST_ORDER: not audience.first_order or last is None,
        Reason.RECENT_ORDER: audience.no_order_for is None
        or last is None
        or AT - last >= audience.no_order_for,
    }


@given(audiences, facts_of_members, st.sampled_from([0, 30, 90]))
def test_a_member_is_in_the_audience_where_every_condition_holds(
    audience: Audience, facts: Facts, holdout: int
) -> None:
    one = club_campaign(audience=audience, holdout_percent=holdout)
    conditions = holds(audience, facts)
    reason = outside(one, facts, AT)
    assert (reason is None) == all(conditions.values())
    assert reason is None or not conditions[reason]
    held_out = share_of(facts.member_id, "club", "c", "holdout") < holdout
    assert is_held_out(one, facts.member_id) == held_out
    assert why_not(one, facts, AT) == (reason or (Reason.HOLDOUT if held_out else None))


@given(members, st.integers(1, 99))
def test_a_share_only_grows_with_its_percentage(member: str, percent: int) -> None:
    facts = Facts(program="club", member_id=member, country="ES", zone="Europe/Madrid", joined_at=AT)
    smaller, larger = (club_campaign(audience=Audience(percent=n)) for n in (percent, percent + 1))
    assert outside(smaller, facts, AT) is not None or outside(larger, facts, AT) is None


def test_shares_are_even_and_independent_of_each_other() -> None:
    def share(chosen: Callable[[str], bool], of: list[str]) -> float:
        return sum(map(chosen, of)) / len(of)

    everybody = [f"m-{number}" for number in range(20_000)]
    one, two = club_campaign(holdout_percent=30), club_campaign("d", holdout_percent=30)
    held_out = [member for member in everybody if is_held_out(one, member)]
    assert abs(len(held_out) / len(everybody) - 0.3) < 0.015
    # Of those whom one campaign holds out, the other one holds out as many as of all.
    assert abs(share(lambda member: is_held_out(two, member), held_out) - 0.3) < 0.03
    # The chosen share of an audience is no part of the held out share.
    assert abs(share(lambda member: share_of(member, "club", "c", "percent") < 30, held_out) - 0.3) < 0.03


def test_the_share_of_a_member_is_the_same_for_ever() -> None:
    shares = [share_of(f"m-{number}", "club", "c", "percent") for number in range(3)]
    assert shares == [77.19, 61.97, 1.67]
