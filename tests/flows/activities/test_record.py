"""An activity becomes its credits, once, whatever was lost and however often it is told."""

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from engage.domain.activity import AnyActivity
from engage.domain.earning.slots import StreakSlot, WindowSlot, wanted
from engage.domain.refusals import Refusal, Unavailable
from engage.flows.activities.record import Act, Recorded, record
from engage.flows.reads.home import read_home
from engage.flows.shop.take_events import take_events
from engage.gate import keys
from engage.gate.client import Asked, Status
from engage.runtime.services import Parts
from tests.support.playing import (
    DAY,
    NOON,
    PROGRAM,
    SECOND_FROM,
    act,
    advance,
    do,
    join,
    keys_of,
    link,
    review,
    review_removed,
    rows,
    social,
    tap,
)


async def refused(parts: Parts, activity: AnyActivity, member_id: str = "m-1") -> Refusal:
    (answer,) = await record(parts, [act(parts, activity, member_id)])
    assert isinstance(answer, Refusal), answer
    return answer


async def lose(parts: Parts) -> None:
    """Valkey is emptied, once everything that follows an answer has been done."""
    await parts.after.drain()
    await parts.gate.forget_all()


def days(answer: Recorded) -> int:
    assert answer.streak is not None
    return answer.streak.days


def left(answer: Recorded) -> int:
    assert answer.limit is not None
    return answer.limit.remaining


async def test_a_tap_is_answered_with_what_it_earned_and_what_is_next(parts: Parts) -> None:
    await join(parts)
    answer = await do(parts, tap())
    (credit,) = answer.credits
    assert (credit.rule, credit.points, credit.state) == ("fuel", 2, "pending")
    assert credit.due_at == NOON + timedelta(minutes=5)
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.next_bonus_in) == (1, 2)
    assert answer.streak.next_tap_at == datetime(2026, 11, 21, 23, tzinfo=UTC), "midnight in Madrid"
    again = await refused(parts, tap())
    assert (again.code, again.status) == ("already_tapped", 409)
    assert again.facts["next_tap_at"] == answer.streak.next_tap_at


async def test_a_bonus_comes_besides_the_day_it_is_for(parts: Parts) -> None:
    await join(parts)
    earned = []
    for _ in range(6):
        earned.append([(c.rule, c.points) for c in (await do(parts, tap())).credits])
        advance(parts, DAY)
    assert earned == [[("fuel", 2)], [("fuel", 2)], [("fuel", 2), ("fuel_streak", 20)]] * 2


async def test_an_activity_that_several_rules_are_about_takes_a_place_of_each(parts: Parts) -> None:
    await join(parts)
    answer = await do(parts, link())
    assert {c.rule for c in answer.credits} == {"share_link", "share_any", "share_thanks", "first_link"}
    answer = await do(parts, link())
    assert {c.rule for c in answer.credits} == {"share_link", "share_any", "share_thanks"}
    answer = await do(parts, link())
    assert {c.rule for c in answer.credits} == {"share_any", "share_thanks"}, "two links a day"
    for _ in range(3):
        await do(parts, social())
    full = await refused(parts, social())
    assert full.code == "limit_reached"
    assert full.facts["rule"] == "share_social"
    assert full.facts["resets_at"] == datetime(2026, 11, 30, 23, tzinfo=UTC)


@pytest.mark.parametrize("losing", [False, True])
async def test_every_limit_holds_with_valkey_emptied(parts: Parts, losing: bool) -> None:
    await join(parts)
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
            await lose(parts)
        (answer,) = await record(parts, [act(parts, activity)])
        assert isinstance(answer, Recorded | Refusal), answer
        answers.append(answer.code if isinstance(answer, Refusal) else [c.rule for c in answer.credits])
        advance(parts, timedelta(minutes=1))
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


async def test_a_streak_outlives_the_loss_of_valkey(parts: Parts) -> None:
    await join(parts)
    for expected in range(1, 8):
        await lose(parts)
        assert days(await do(parts, tap())) == expected
        advance(parts, DAY)


async def test_a_streak_outlives_a_valkey_that_lost_its_last_second(parts: Parts) -> None:
    """It comes back with yesterday's tap missing, and nothing that says so."""
    await join(parts)
    await do(parts, tap())
    await parts.after.drain()
    before = await parts.gate.known(PROGRAM, "m-1")
    advance(parts, DAY)
    assert days(await do(parts, tap())) == 2
    advance(parts, DAY)
    await lose(parts)
    assert before is not None
    await parts.gate.load([(PROGRAM, "m-1", before)], day=0, month=0)
    third = await do(parts, tap())
    assert days(third) == 3
    assert [c.rule for c in third.credits] == ["fuel", "fuel_streak"]
    assert [c for _, c in await streak_days(parts)] == [1, 2, 3]


async def test_places_outlive_a_valkey_that_forgot_some_of_them(parts: Parts) -> None:
    await join(parts)
    for _ in range(2):
        await do(parts, social())
    await lose(parts)
    await parts.gate.load([(PROGRAM, "m-1", [])], day=0, month=0)
    assert [left(await do(parts, social())) for _ in range(4)] == [3, 2, 1, 0]
    assert (await refused(parts, social())).code == "limit_reached"
    assert len(await keys_of(parts)) == 1 + 3 + 6


async def streak_days(parts: Parts) -> list[tuple[object, ...]]:
    return await rows(
        parts.db,
        """
        SELECT source_key, CAST(why -> 'inputs' ->> 'streak_days' AS int) FROM credits
        WHERE rule_id = 'fuel' ORDER BY 1
        """,
    )


async def test_a_caller_that_died_after_its_claim_took_nothing(parts: Parts, other: Parts) -> None:
    await join(parts)
    for activity in (tap(), social(), review(), link()):
        await half_done(other, activity)
    assert days(await do(parts, tap())) == 1
    assert {c.rule for c in (await do(parts, review())).credits} == {"review"}
    for _ in range(3):
        assert "share_social" in {c.rule for c in (await do(parts, social())).credits}
    assert (await refused(parts, tap())).code == "already_tapped"
    taken = [key for key in await keys_of(parts) if key.startswith("share_social")]
    assert taken == [f"share_social:2026-11:{n}" for n in (1, 2, 3)]


async def test_a_day_after_a_dead_callers_day_begins_again(parts: Parts, other: Parts) -> None:
    await join(parts)
    await do(parts, tap())
    advance(parts, DAY)
    await parts.after.drain()
    await half_done(other, tap())
    advance(parts, DAY)
    assert days(await do(parts, tap())) == 1, "yesterday's tap had no answer, so there was none"


async def test_a_credit_whose_confirmation_was_lost_counts(parts: Parts) -> None:
    await join(parts)
    assert days(await do_and_die(parts, tap())) == 1
    assert left(await do_and_die(parts, social())) == 5
    assert (await refused(parts, tap())).code == "already_tapped"
    advance(parts, DAY)
    assert days(await do_and_die(parts, tap())) == 2
    assert [left(await do_and_die(parts, social())) for _ in range(5)] == [4, 3, 2, 1, 0]
    assert (await refused(parts, social())).code == "limit_reached"
    await do_and_die(parts, review())
    assert (await refused(parts, review("band", "r-2"))).code == "already_rewarded"


async def half_done(parts: Parts, activity: AnyActivity, member_id: str = "m-1") -> None:
    """As far as a process comes that is killed between the claim and the database."""
    one = act(parts, activity, member_id)
    program, market = parts.programs.in_force(PROGRAM, at=one.at, country="ES")
    slots = wanted(program, activity, at=one.at, zone=market.zone)
    claimed = await parts.gate.claim([Asked(PROGRAM, member_id, slot) for slot in slots])
    assert {answer.status for answer in claimed} == {Status.GRANTED}


async def do_and_die(parts: Parts, activity: AnyActivity) -> Recorded:
    """As when the process dies right after its answer: nothing that follows is done."""
    await parts.after.drain()
    answer = await do(parts, activity)
    assert parts.after._confirmed, "nothing of it has been done yet"
    parts.after._confirmed.clear()
    parts.after._changes.clear()
    parts.after._due.clear()
    return answer


async def test_a_share_told_again_earns_what_it_earned(parts: Parts) -> None:
    await join(parts)
    first = await do(parts, link("s-1"))
    for again in (link("s-1"), social("s-1")):
        for _ in range(3):
            answer = await do(parts, again)
            assert answer.repeated
            assert {c.id for c in answer.credits} == {c.id for c in first.credits}
            assert left(answer) == left(await do(parts, again)), "what is left is told, and stays"
        await lose(parts)
    assert len(await keys_of(parts)) == 1 + len(first.credits)
    assert left(await do(parts, social("s-2"))) == 4, "the repeats took no place"


async def test_a_share_told_again_in_another_version_earns_nothing_more(parts: Parts) -> None:
    await join(parts)
    first = await do(parts, social("s-1"))
    assert {c.rule for c in first.credits} == {"share_social", "share_any"}
    advance(parts, SECOND_FROM - NOON)
    assert {c.rule for c in (await do(parts, social("s-2"))).credits} >= {"more_thanks"}
    again = await do(parts, social("s-1"))
    assert again.repeated
    assert {c.id for c in again.credits} == {c.id for c in first.credits}


async def test_a_product_is_not_closed_by_a_review_that_was_for_another(parts: Parts) -> None:
    await join(parts)
    await do(parts, review("band", "r-1"))
    assert (await refused(parts, review("watch", "r-1"))).code == "already_rewarded"
    assert (await refused(parts, review("watch", "r-1"))).code == "already_rewarded"
    assert [c.points for c in (await do(parts, review("watch", "r-2"))).credits] == [20]
    assert (await refused(parts, review("watch", "r-3"))).code == "already_rewarded"


async def test_two_rules_of_an_activity_are_each_kept_to_the_end(parts: Parts) -> None:
    """The gate has forgotten the places of one of them; the other has some left."""
    await join(parts)
    for _ in range(2):
        await do(parts, social())
    await lose(parts)
    program, market = parts.programs.in_force(PROGRAM, at=parts.clock.now(), country="ES")
    _, any_slot = wanted(program, social(), at=parts.clock.now(), zone=market.zone)
    assert isinstance(any_slot, WindowSlot)
    record_of_any = keys.window_record("share_any", "month", any_slot.period, [1, 2])
    await parts.gate.load([(PROGRAM, "m-1", [record_of_any])], day=0, month=0)
    answer = await do(parts, social())
    assert {c.rule for c in answer.credits} == {"share_social", "share_any"}
    assert await keys_of(parts) == [
        "registration",
        *[f"share_any:2026-11:{n}" for n in (1, 2, 3)],
        *[f"share_social:2026-11:{n}" for n in (1, 2, 3)],
    ]


async def test_one_kind_of_place_that_is_gone_does_not_keep_an_activity_going_round(parts: Parts) -> None:
    await join(parts)
    for _ in range(3):
        await do(parts, link())
    for _ in range(3):
        await do(parts, social())
    await lose(parts)
    await parts.gate.load([(PROGRAM, "m-1", [])], day=0, month=0)
    assert (await refused(parts, link())).code == "limit_reached"


async def test_days_are_those_of_the_members_zone(parts: Parts) -> None:
    for member, country in (("es", "ES"), ("gb", "GB"), ("nz", "NZ")):
        await join(parts, member, country)
    zones = {}
    for member in ("es", "gb", "nz"):
        answer = await do(parts, tap(), member)
        assert answer.streak is not None
        zones[member] = answer.streak.next_tap_at
    assert zones == {
        "es": datetime(2026, 11, 21, 23, tzinfo=UTC),
        "gb": datetime(2026, 11, 22, tzinfo=UTC),
        "nz": datetime(2026, 11, 22, 11, tzinfo=UTC),
    }


@pytest.mark.parametrize("losing", [False, True])
async def test_a_running_streak_keeps_its_zone_when_the_country_changes_its_own(
    parts: Parts, losing: bool
) -> None:
    await join(parts, country="NZ")
    advance(parts, datetime(2026, 11, 22, 23, tzinfo=UTC) - NOON)  # The 23rd in Auckland.
    zones = []
    for _ in range(5):
        if losing:
            await lose(parts)
        answer = await do(parts, tap())
        assert answer.streak is not None
        zones.append((answer.streak.days, answer.streak.next_tap_at.hour))
        advance(parts, DAY)
    assert zones == [(n, 11) for n in range(1, 6)], "midnight in Auckland is 11 o'clock UTC"
    advance(parts, 3 * DAY)
    answer = await do(parts, tap())
    assert answer.streak is not None
    assert (answer.streak.days, answer.streak.next_tap_at.hour) == (1, 8), "then days are Los Angeles'"


async def test_a_batch_across_midnight_decides_each_at_its_own_time(parts: Parts) -> None:
    await join(parts)
    midnight = datetime(2026, 11, 30, 23, tzinfo=UTC)
    advance(parts, midnight - timedelta(days=1, hours=1) - parts.clock.now())
    assert days(await do(parts, tap())) == 1
    await lose(parts)
    moment = timedelta(milliseconds=1)
    late, early = midnight + moment, midnight - moment
    answers = await record(
        parts,
        [
            Act(PROGRAM, "m-1", social(), late),
            Act(PROGRAM, "m-1", social(), early),
            Act(PROGRAM, "m-1", tap(), early),
            Act(PROGRAM, "m-1", tap(), late),
        ],
    )
    for answer in answers:
        assert isinstance(answer, Recorded), answer
    assert [key for key in await keys_of(parts) if key.startswith(("fuel", "share_social"))] == [
        "fuel:2026-11-29",
        "fuel:2026-11-30",
        "fuel:2026-12-01",
        "fuel_streak:2026-12-01",
        "share_social:2026-11:1",
        "share_social:2026-12:1",
    ]
    assert [number for _, number in await streak_days(parts)] == [1, 2, 3]


async def test_who_is_unknown_and_what_is_not_offered_is_refused(parts: Parts) -> None:
    await join(parts)
    answers = await record(
        parts,
        [
            act(parts, tap(), "nobody"),
            Act("no-program", "m-1", tap(), NOON),
            Act(PROGRAM, "m-1", tap(), datetime(2019, 1, 1, tzinfo=UTC)),
            act(parts, tap()),
        ],
    )
    codes = [answer.code if isinstance(answer, Refusal) else "ok" for answer in answers]
    assert codes == ["unknown_member", "unknown_member", "not_offered", "ok"]


async def test_what_was_answered_before_a_part_went_away_stays_answered(
    parts: Parts, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join(parts)
    await join(parts, "m-2")
    await do(parts, tap(), "m-2")
    await parts.after.drain()
    await parts.gate.undo([Asked(PROGRAM, "m-2", StreakSlot("fuel", NOON.date(), "Europe/Madrid"))])

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("valkey")

    monkeypatch.setattr(type(parts.gate), "load", away)
    first, second = await record(parts, [act(parts, tap()), act(parts, tap(), "m-2")])
    assert isinstance(first, Recorded)
    assert isinstance(second, Unavailable)
    monkeypatch.undo()
    again = await record(parts, [act(parts, tap()), act(parts, tap(), "m-2")])
    assert [answer.code for answer in again if isinstance(answer, Refusal)] == ["already_tapped"] * 2


async def test_home_tells_what_is_left_as_the_gate_does(parts: Parts) -> None:
    await join(parts)
    await do(parts, social())
    await do(parts, link())
    home = await read_home(parts, PROGRAM, "m-1")
    assert {limit.rule: limit.remaining for limit in home.limits} == {
        "share_social": 2,
        "share_link": 1,
        "share_any": 4,
    }
    advance(parts, SECOND_FROM - NOON)
    home = await read_home(parts, PROGRAM, "m-1")
    assert {limit.rule: limit.remaining for limit in home.limits} == {
        "share_social": 1,
        "share_link": 3,
        "share_any": 4,
    }


async def test_a_removed_review_is_answered_alike_whatever_the_gate_remembers(parts: Parts) -> None:
    await join(parts)
    await do(parts, review("band", "r-1"))
    await take_events(parts, [review_removed(parts, "r-1"), review_removed(parts, "r-2")])
    for _ in range(2):
        await parts.after.drain()
        assert (await refused(parts, review("band", "r-1"))).code == "activity_removed"
        assert (await refused(parts, review("band", "r-2"))).code == "activity_removed"
        assert (await refused(parts, review("band", "r-3"))).code == "already_rewarded"
        await lose(parts)
