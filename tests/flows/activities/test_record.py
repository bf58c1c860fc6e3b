"""An activity is credited once, whatever is lost and however often it is sent."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from engage.domain.activity import AnyActivity
from engage.domain.earning.limits import WindowSlot
from engage.domain.earning.slots import wanted
from engage.domain.refusals import Refusal, Unavailable
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.attempt import acting, prepare
from engage.flows.activities.decisions import Decisions
from engage.flows.activities.late_days import LateDay
from engage.flows.activities.record import record
from engage.flows.reads.home import read_home
from engage.flows.shop.take_events import take_events
from engage.gate import keys
from engage.gate.claims import ABSENT, ClaimResult, ClaimStatus, SlotRequest
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    SECOND_FROM,
    act,
    join,
    link,
    perform,
    review,
    review_removed,
    social,
    source_keys,
    tap,
)
from tests.support.clock import DAY, NOON, advance
from tests.support.crash import lose_publications
from tests.support.database import rows


@pytest.fixture
def settings(settings_with_state: Settings) -> Settings:
    """Let every test run with a standalone state and with a Cluster."""
    return settings_with_state


async def refused(services: Services, activity: AnyActivity, member_id: str = "m-1") -> Refusal:
    (answer,) = await record(services, [act(services, activity, member_id)])
    assert isinstance(answer, Refusal), answer
    return answer


async def lose(services: Services) -> None:
    """Empty Valkey after all publications."""
    await services.post_commit.drain()
    await services.gate.forget_all()


def days(answer: RecordedActivity) -> int:
    assert answer.streak is not None
    return answer.streak.days


def left(answer: RecordedActivity) -> int:
    assert answer.limit is not None
    return answer.limit.remaining


async def test_a_tap_is_answered_with_its_credit_and_streak(services: Services) -> None:
    await join(services)
    answer = await perform(services, tap())
    (credit,) = answer.credits
    assert (credit.rule, credit.points, credit.state) == ("fuel", 2, "pending")
    assert credit.due_at == NOON + timedelta(minutes=5)
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.next_bonus_in) == (1, 2)
    assert answer.streak.next_tap_at == datetime(2026, 11, 21, 23, tzinfo=UTC), "midnight in Madrid"
    again = await refused(services, tap())
    assert (again.code, again.status) == ("already_tapped", 409)
    assert again.facts["next_tap_at"] == answer.streak.next_tap_at


async def test_a_streak_bonus_is_paid_with_its_day(services: Services) -> None:
    await join(services)
    earned = []
    for _ in range(6):
        earned.append([(c.rule, c.points) for c in (await perform(services, tap())).credits])
        advance(services, DAY)
    assert earned == [[("fuel", 2)], [("fuel", 2)], [("fuel", 2), ("fuel_streak", 20)]] * 2


async def test_an_activity_takes_a_slot_of_each_rule_about_it(services: Services) -> None:
    await join(services)
    answer = await perform(services, link())
    assert {c.rule for c in answer.credits} == {"share_link", "share_any", "share_thanks", "first_link"}
    answer = await perform(services, link())
    assert {c.rule for c in answer.credits} == {"share_link", "share_any", "share_thanks"}
    answer = await perform(services, link())
    assert {c.rule for c in answer.credits} == {"share_any", "share_thanks"}, "two links a day"
    for _ in range(3):
        await perform(services, social())
    full = await refused(services, social())
    assert full.code == "limit_reached"
    assert full.facts["rule"] == "share_social"
    assert full.facts["resets_at"] == datetime(2026, 11, 30, 23, tzinfo=UTC)


@pytest.mark.parametrize("losing", [False, True])
async def test_every_limit_holds_with_valkey_emptied(services: Services, losing: bool) -> None:
    await join(services)
    activities: list[AnyActivity] = [
        tap(),
        tap(),
        *[social()] * 7,
        review("a", "r-1"),
        review("a", "r-2"),
        link(),
    ]
    answers = []
    for activity in activities:
        if losing:
            await lose(services)
        (answer,) = await record(services, [act(services, activity)])
        assert isinstance(answer, RecordedActivity | Refusal), answer
        answers.append(answer.code if isinstance(answer, Refusal) else [c.rule for c in answer.credits])
        advance(services, timedelta(minutes=1))
    assert answers == [
        ["fuel"],
        "already_tapped",
        *[["share_social", "share_any"]] * 3,
        *[["share_any"]] * 3,
        "limit_reached",
        ["review"],
        "already_rewarded",
        ["share_link", "first_link"],
    ]


async def test_a_streak_survives_the_loss_of_valkey(services: Services) -> None:
    await join(services)
    for expected in range(1, 8):
        await lose(services)
        assert days(await perform(services, tap())) == expected
        advance(services, DAY)


async def test_a_streak_survives_a_valkey_that_lost_its_last_second(services: Services) -> None:
    """Valkey comes back without yesterday's tap, and does not know that it is missing."""
    await join(services)
    await perform(services, tap())
    await services.post_commit.drain()
    before = await services.gate.read(PROGRAM, "m-1")
    advance(services, DAY)
    assert days(await perform(services, tap())) == 2
    advance(services, DAY)
    await lose(services)
    assert before is not None
    await services.gate.load([(PROGRAM, "m-1", before)], day=0, month=0)
    third = await perform(services, tap())
    assert days(third) == 3
    assert [c.rule for c in third.credits] == ["fuel", "fuel_streak"]
    assert [c for _, c in await streak_days(services)] == [1, 2, 3]


async def test_used_slots_survive_a_partial_loss_of_valkey(services: Services) -> None:
    await join(services)
    for _ in range(2):
        await perform(services, social())
    await lose(services)
    await services.gate.load([(PROGRAM, "m-1", [])], day=0, month=0)
    assert [left(await perform(services, social())) for _ in range(4)] == [3, 2, 1, 0]
    assert (await refused(services, social())).code == "limit_reached"
    assert len(await source_keys(services)) == 1 + 3 + 6


async def streak_days(services: Services) -> list[tuple[object, ...]]:
    return await rows(
        services.db,
        """
        SELECT source_key, CAST(why -> 'inputs' ->> 'streak_days' AS int) FROM credits
        WHERE rule_id = 'fuel' ORDER BY 1
        """,
    )


async def test_a_claim_without_a_credit_uses_no_slot(services: Services, other: Services) -> None:
    await join(services)
    for activity in (tap(), social(), review(), link()):
        await claim_and_die(other, activity)
    assert days(await perform(services, tap())) == 1
    assert {c.rule for c in (await perform(services, review())).credits} == {"review"}
    for _ in range(3):
        assert "share_social" in {c.rule for c in (await perform(services, social())).credits}
    assert (await refused(services, tap())).code == "already_tapped"
    taken = [key for key in await source_keys(services) if key.startswith("share_social")]
    assert taken == [f"share_social:2026-11:{n}" for n in (1, 2, 3)]


async def test_what_the_gate_does_not_know_it_need_not_forget(
    services: Services, other: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    undo = services.gate.undo

    async def noted(requests: Sequence[SlotRequest]) -> None:
        forgotten.extend(request.member_id for request in requests)
        await undo(requests)

    monkeypatch.setattr(services.gate, "undo", noted)
    await join(services, "m-1")
    await join(services, "m-2")
    await services.post_commit.drain()
    await claim_and_die(other, tap())
    await services.gate.forget([(PROGRAM, "m-2")])
    advance(services, DAY)
    answers = await record(services, [act(services, tap(), each) for each in ("m-1", "m-2")])
    assert [days(answer) for answer in answers if isinstance(answer, RecordedActivity)] == [1, 1]
    assert forgotten == ["m-1"], "its claim of yesterday came to nothing"


async def test_an_attempt_that_claims_nothing_says_nothing_of_the_gate(services: Services) -> None:
    await join(services)
    activity = act(services, tap())
    by = acting(services, activity, await services.members.get(services.db, PROGRAM, "m-1"))
    attempt = prepare(activity, by, by.program.earning, Decisions())
    assert not attempt.take(
        [(slot, ClaimResult(ClaimStatus.UNKNOWN, left=ABSENT)) for slot in attempt.claims()]
    )
    assert attempt.is_absent
    attempt.late = {slot.rule_id: LateDay(None, 1) for slot in attempt.slots}
    assert attempt.claims() == []
    assert attempt.take([])
    assert not attempt.is_absent, "the gate may have a record that a lost claim has to be taken from"


async def test_a_day_after_an_unused_claim_begins_a_streak(services: Services, other: Services) -> None:
    await join(services)
    await perform(services, tap())
    advance(services, DAY)
    await services.post_commit.drain()
    await claim_and_die(other, tap())
    advance(services, DAY)
    assert days(await perform(services, tap())) == 1, "yesterday's tap had no answer, so there was none"


async def test_a_credit_whose_confirmation_was_lost_counts(services: Services) -> None:
    await join(services)
    assert days(await record_and_die(services, tap())) == 1
    assert left(await record_and_die(services, social())) == 5
    assert (await refused(services, tap())).code == "already_tapped"
    advance(services, DAY)
    assert days(await record_and_die(services, tap())) == 2
    assert [left(await record_and_die(services, social())) for _ in range(5)] == [4, 3, 2, 1, 0]
    assert (await refused(services, social())).code == "limit_reached"
    await record_and_die(services, review())
    assert (await refused(services, review("band", "r-2"))).code == "already_rewarded"


async def claim_and_die(services: Services, activity: AnyActivity, member_id: str = "m-1") -> None:
    """Claim slots in a process that dies before it reaches the database."""
    attempt = act(services, activity, member_id)
    program, market = services.programs.in_force(PROGRAM, at=attempt.at, country="ES")
    slots = wanted(program.earning, activity, at=attempt.at, zone=market.zone)
    claimed = await services.gate.claim([SlotRequest(PROGRAM, member_id, slot) for slot in slots])
    assert {answer.status for answer in claimed} == {ClaimStatus.GRANTED}


async def record_and_die(services: Services, activity: AnyActivity) -> RecordedActivity:
    """Record an activity in a process that dies right after its answer."""
    await services.post_commit.drain()
    answer = await perform(services, activity)
    assert services.post_commit._confirmed, "nothing is published yet"
    lose_publications(services)
    return answer


async def test_a_repeated_share_is_answered_with_its_first_credits(services: Services) -> None:
    await join(services)
    first = await perform(services, link("s-1"))
    for again in (link("s-1"), social("s-1")):
        for _ in range(3):
            answer = await perform(services, again)
            assert answer.repeated
            assert {c.id for c in answer.credits} == {c.id for c in first.credits}
            assert left(answer) == left(await perform(services, again)), "the rest does not change"
        await lose(services)
    assert len(await source_keys(services)) == 1 + len(first.credits)
    assert left(await perform(services, social("s-2"))) == 4, "the repeats took no place"


async def test_a_repeated_share_earns_nothing_under_another_version(services: Services) -> None:
    await join(services)
    first = await perform(services, social("s-1"))
    assert {c.rule for c in first.credits} == {"share_social", "share_any"}
    advance(services, SECOND_FROM - NOON)
    assert {c.rule for c in (await perform(services, social("s-2"))).credits} >= {"more_thanks"}
    again = await perform(services, social("s-1"))
    assert again.repeated
    assert {c.id for c in again.credits} == {c.id for c in first.credits}


async def test_a_review_of_one_product_does_not_close_another(services: Services) -> None:
    await join(services)
    await perform(services, review("band", "r-1"))
    assert (await refused(services, review("watch", "r-1"))).code == "already_rewarded"
    assert (await refused(services, review("watch", "r-1"))).code == "already_rewarded"
    assert [c.points for c in (await perform(services, review("watch", "r-2"))).credits] == [20]
    assert (await refused(services, review("watch", "r-3"))).code == "already_rewarded"


async def test_two_rules_of_an_activity_each_reach_their_limit(services: Services) -> None:
    """The gate has forgotten the used slots of one rule; the other rule has free slots."""
    await join(services)
    for _ in range(2):
        await perform(services, social())
    await lose(services)
    program, market = services.programs.in_force(PROGRAM, at=services.clock.now(), country="ES")
    _, any_slot = wanted(program.earning, social(), at=services.clock.now(), zone=market.zone)
    assert isinstance(any_slot, WindowSlot)
    record_of_any = keys.window_record("share_any", "month", any_slot.period, [1, 2])
    await services.gate.load([(PROGRAM, "m-1", [record_of_any])], day=0, month=0)
    answer = await perform(services, social())
    assert {c.rule for c in answer.credits} == {"share_social", "share_any"}
    assert await source_keys(services) == [
        "registration",
        *[f"share_any:2026-11:{n}" for n in (1, 2, 3)],
        *[f"share_social:2026-11:{n}" for n in (1, 2, 3)],
    ]


async def test_a_used_slot_of_one_rule_needs_no_more_rounds(
    services: Services,
) -> None:
    await join(services)
    for _ in range(3):
        await perform(services, link())
    for _ in range(3):
        await perform(services, social())
    await lose(services)
    await services.gate.load([(PROGRAM, "m-1", [])], day=0, month=0)
    assert (await refused(services, link())).code == "limit_reached"


async def test_days_are_those_of_the_members_zone(services: Services) -> None:
    for member, country in (("es", "ES"), ("gb", "GB"), ("nz", "NZ")):
        await join(services, member, country)
    zones = {}
    for member in ("es", "gb", "nz"):
        answer = await perform(services, tap(), member)
        assert answer.streak is not None
        zones[member] = answer.streak.next_tap_at
    assert zones == {
        "es": datetime(2026, 11, 21, 23, tzinfo=UTC),
        "gb": datetime(2026, 11, 22, tzinfo=UTC),
        "nz": datetime(2026, 11, 22, 11, tzinfo=UTC),
    }


@pytest.mark.parametrize("losing", [False, True])
async def test_a_running_streak_keeps_its_zone_when_the_country_changes_its_own(
    services: Services, losing: bool
) -> None:
    await join(services, country="NZ")
    advance(services, datetime(2026, 11, 22, 23, tzinfo=UTC) - NOON)  # The 23rd in Auckland.
    zones = []
    for _ in range(5):
        if losing:
            await lose(services)
        answer = await perform(services, tap())
        assert answer.streak is not None
        zones.append((answer.streak.days, answer.streak.next_tap_at.hour))
        advance(services, DAY)
    assert zones == [(n, 11) for n in range(1, 6)], "midnight in Auckland is 11 o'clock UTC"
    advance(services, 3 * DAY)
    answer = await perform(services, tap())
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.next_tap_at.hour) == (1, 8), "then days are Los Angeles'"


async def test_a_batch_across_midnight_decides_each_at_its_own_time(services: Services) -> None:
    await join(services)
    midnight = datetime(2026, 11, 30, 23, tzinfo=UTC)
    advance(services, midnight - timedelta(days=1, hours=1) - services.clock.now())
    assert days(await perform(services, tap())) == 1
    await lose(services)
    moment = timedelta(milliseconds=1)
    late, early = midnight + moment, midnight - moment
    answers = await record(
        services,
        [
            MemberActivity(PROGRAM, "m-1", social(), late),
            MemberActivity(PROGRAM, "m-1", social(), early),
            MemberActivity(PROGRAM, "m-1", tap(), early),
            MemberActivity(PROGRAM, "m-1", tap(), late),
        ],
    )
    for answer in answers:
        assert isinstance(answer, RecordedActivity), answer
    assert [key for key in await source_keys(services) if key.startswith(("fuel", "share_social"))] == [
        "fuel:2026-11-29",
        "fuel:2026-11-30",
        "fuel:2026-12-01",
        "fuel_streak:2026-12-01",
        "share_social:2026-11:1",
        "share_social:2026-12:1",
    ]
    assert [number for _, number in await streak_days(services)] == [1, 2, 3]


async def test_unknown_members_and_activities_without_a_rule_are_refused(services: Services) -> None:
    await join(services)
    answers = await record(
        services,
        [
            act(services, tap(), "nobody"),
            MemberActivity("no-program", "m-1", tap(), NOON),
            MemberActivity(PROGRAM, "m-1", tap(), datetime(2019, 1, 1, tzinfo=UTC)),
            act(services, tap()),
        ],
    )
    codes = [answer.code if isinstance(answer, Refusal) else "ok" for answer in answers]
    assert codes == ["unknown_member", "unknown_member", "not_offered", "ok"]


async def test_answers_given_before_a_service_went_away_stand(
    services: Services, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join(services)
    await join(services, "m-2")
    await perform(services, tap(), "m-2")
    await services.post_commit.drain()
    await services.gate.forget([(PROGRAM, "m-2")])

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("valkey")

    monkeypatch.setattr(type(services.gate), "load", away)
    first, second = await record(services, [act(services, tap()), act(services, tap(), "m-2")])
    assert isinstance(first, RecordedActivity)
    assert isinstance(second, Unavailable)
    monkeypatch.undo()
    again = await record(services, [act(services, tap()), act(services, tap(), "m-2")])
    assert [answer.code for answer in again if isinstance(answer, Refusal)] == ["already_tapped"] * 2


async def test_home_shows_the_limits_that_the_gate_has(services: Services) -> None:
    await join(services)
    await perform(services, social())
    await perform(services, link())
    home = await read_home(services, PROGRAM, "m-1")
    assert {limit.rule: limit.remaining for limit in home.limits} == {
        "share_social": 2,
        "share_link": 1,
        "share_any": 4,
    }
    advance(services, SECOND_FROM - NOON)
    home = await read_home(services, PROGRAM, "m-1")
    assert {limit.rule: limit.remaining for limit in home.limits} == {
        "share_social": 1,
        "share_link": 3,
        "share_any": 4,
    }


async def test_a_removed_review_gets_the_same_answer_whatever_the_gate_knows(services: Services) -> None:
    await join(services)
    await perform(services, review("band", "r-1"))
    await take_events(services, [review_removed(services, "r-1"), review_removed(services, "r-2")])
    for _ in range(2):
        await services.post_commit.drain()
        assert (await refused(services, review("band", "r-1"))).code == "activity_removed"
        assert (await refused(services, review("band", "r-2"))).code == "activity_removed"
        assert (await refused(services, review("band", "r-3"))).code == "already_rewarded"
        await lose(services)
