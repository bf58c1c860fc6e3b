"""Reviews of suspicions: released, rejected, and taken back in one action, each exactly once."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from engage.domain.accounts.balance import Balance
from engage.domain.identity import Operator
from engage.domain.refusals import Refusal
from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.protection.apply import apply_due
from engage.flows.protection.decide import decide, undo
from engage.flows.reads.home import read_home
from engage.flows.scheduled.settle import settle_due
from engage.ledger.balances import read_balances
from engage.messages.why import why_text
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import challenges
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, advance
from tests.support.database import rows
from tests.support.protection import (
    PROGRAM,
    guarded_services,
    join,
    perform,
    review,
    ring,
    share,
    visit,
)

ANNA, BORIS = Operator("key-1", "Anna"), Operator("key-2", "Boris")
HOLD = timedelta(days=3)


async def suspicion_of(services: Services) -> UUID:
    ((id_,),) = await rows(services.db, "SELECT id FROM suspicions")
    assert isinstance(id_, UUID)
    return id_


async def held_ring(services: Services, size: int = 6) -> UUID:
    """A ring of members who tap on one device: the points of all but three are held."""
    await join(services, ring(size))
    for member in ring(size):
        await perform(services, member)
    return await suspicion_of(services)


async def balances(services: Services, size: int = 6) -> list[tuple[int, int, int]]:
    """(active, pending, debt) of each member of the ring."""
    async with one_statement(services.db) as conn:
        found = await read_balances(conn, [(PROGRAM, member) for member in ring(size)])
    shown: list[Balance] = [found[PROGRAM, member] for member in ring(size)]
    return [(balance.active, balance.pending, balance.debt) for balance in shown]


async def settle(services: Services, after: timedelta = FIVE_MINUTES) -> None:
    advance(services, after)
    await settle_due(services, now=services.clock.now())


async def whys(services: Services, member: str) -> list[str]:
    found = await rows(
        services.db, f"SELECT why FROM credits WHERE member_id = '{member}' AND state <> 'reversed'"
    )
    return [why_text(why, "en") for (why,) in found if isinstance(why, dict)]


async def test_a_release_makes_points_due_at_their_normal_time(services: Services) -> None:
    suspicion = await held_ring(services)
    assert await whys(services, "m-06") == [
        "You fuelled up on 21 November 2026. Day 1 in a row earns 2 points."
        " This is held for review until 24 November 2026."
    ]
    await decide(services, suspicion, "released", operator=ANNA, reason="a family")
    await settle_due(services, now=services.clock.now())
    assert await balances(services) == [(0, 2, 0)] * 6, "not before their time"
    await settle(services)
    assert await balances(services) == [(2, 0, 0)] * 6
    assert (await whys(services, "m-06"))[0].endswith("It was reviewed, and is not held any longer.")
    await assert_audit_is_clean(services)


async def test_a_late_release_makes_points_due_at_once(services: Services) -> None:
    suspicion = await held_ring(services)
    await settle(services, DAY)
    assert await balances(services) == [(2, 0, 0)] * 3 + [(0, 2, 0)] * 3
    await decide(services, suspicion, "released", operator=ANNA, reason="a family")
    await settle_due(services, now=services.clock.now())
    assert await balances(services) == [(2, 0, 0)] * 6
    await assert_audit_is_clean(services)


async def test_a_release_that_is_taken_back_holds_again(services: Services) -> None:
    suspicion = await held_ring(services)
    await decide(services, suspicion, "released", operator=ANNA, reason="a family")
    await undo(services, suspicion, operator=ANNA, reason="no family")
    await settle(services)
    assert await balances(services) == [(2, 0, 0)] * 3 + [(0, 2, 0)] * 3
    assert (await whys(services, "m-06"))[0].endswith("held for review until 24 November 2026.")
    await settle(services, HOLD)
    assert await balances(services) == [(2, 0, 0)] * 6
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("active", [False, True], ids=["pending", "active"])
async def test_a_rejection_takes_everything_and_can_be_taken_back(services: Services, active: bool) -> None:
    suspicion = await held_ring(services)
    await settle(services, HOLD + FIVE_MINUTES if active else FIVE_MINUTES)
    await decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
    assert await balances(services) == [(2, 0, 0)] * 3 + [(0, 0, 0)] * 3
    await assert_audit_is_clean(services)
    for _ in range(2):
        await undo(services, suspicion, operator=BORIS, reason="a school")
        assert await balances(services) == [(2, 0, 0)] * 3 + [(0, 2, 0)] * 3
        await decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
        assert await balances(services) == [(2, 0, 0)] * 3 + [(0, 0, 0)] * 3
    await undo(services, suspicion, operator=BORIS, reason="a school")
    await settle(services, timedelta() if active else HOLD)
    assert await balances(services) == [(2, 0, 0)] * 6
    await assert_audit_is_clean(services)


async def test_a_step_that_held_activities_reach_goes_and_comes_back_with_them(services: Services) -> None:
    """Its own points are not held: a rejection takes them back, active or not."""
    goal, steps = {"kind": "count", "activity": "fuel_tap"}, [{"at": 1, "points": 40}]
    await challenges.define(services, program=PROGRAM, goal=goal, steps=steps)
    suspicion = await held_ring(services)
    await challenges.react(services)
    await settle(services)
    assert await balances(services) == [(42, 0, 0)] * 3 + [(40, 2, 0)] * 3
    await decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
    await challenges.react(services)
    assert await balances(services) == [(42, 0, 0)] * 3 + [(0, 0, 0)] * 3
    await assert_audit_is_clean(services)
    await undo(services, suspicion, operator=BORIS, reason="a school")
    await challenges.react(services)
    await settle(services, HOLD)
    assert await balances(services) == [(42, 0, 0)] * 6
    await assert_audit_is_clean(services)


async def test_points_that_were_spent_become_a_debt_which_goes_with_the_rejection(services: Services) -> None:
    suspicion = await held_ring(services, 4)
    await settle(services, HOLD + FIVE_MINUTES)
    spent = AdjustmentRequest(points=-2, reason="spent", reference="s-1")
    await adjust(services, PROGRAM, "m-04", spent, operator="key-1")
    await decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
    assert (await balances(services, 4))[-1] == (0, 0, 2)
    await undo(services, suspicion, operator=ANNA, reason="a mistake")
    await settle_due(services, now=services.clock.now())
    assert (await balances(services, 4))[-1] == (0, 0, 0)
    await assert_audit_is_clean(services)


async def test_thirty_decisions_at_once_take_and_give_back_once(services: Services, other: Services) -> None:
    suspicion = await held_ring(services)
    processes = (services, other)
    deciding = [
        decide(processes[n % 2], suspicion, "rejected", operator=ANNA, reason=f"{n}") for n in range(30)
    ]
    answers = await asyncio.gather(*deciding, return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [answer.code for answer in refusals if isinstance(answer, Refusal)] == ["wrong_state"] * 29
    assert len(refusals) == 29
    assert await balances(services) == [(0, 2, 0)] * 3 + [(0, 0, 0)] * 3
    undoing = [undo(processes[n % 2], suspicion, operator=ANNA, reason=f"{n}") for n in range(30)]
    answers = await asyncio.gather(*undoing, return_exceptions=True)
    assert sum(isinstance(answer, Refusal) for answer in answers) == 29
    assert await balances(services) == [(0, 2, 0)] * 6
    await assert_audit_is_clean(services)


async def test_a_rejection_and_settlement_at_once_leave_nothing(services: Services, other: Services) -> None:
    suspicion = await held_ring(services, 12)
    advance(services, HOLD + FIVE_MINUTES)
    now = services.clock.now()
    await asyncio.gather(
        settle_due(other, now=now),
        decide(services, suspicion, "rejected", operator=ANNA, reason="one person"),
        settle_due(services, now=now),
    )
    await settle_due(services, now=now)
    assert await balances(services, 12) == [(2, 0, 0)] * 3 + [(0, 0, 0)] * 9
    await assert_audit_is_clean(services)


async def test_what_a_dead_process_decided_is_done_by_a_worker(
    services: Services, other: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspicion = await held_ring(services)

    async def die(*_: object, **__: object) -> int:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr("engage.flows.protection.decide.apply_decided", die)
        for number in range(2):
            deciding = (
                undo(services, suspicion, operator=ANNA, reason="a mistake")
                if number
                else decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
            )
            with pytest.raises(asyncio.CancelledError):
                await deciding
            assert await asyncio.gather(*(apply_due(p, now=p.clock.now()) for p in (services, other)))
            pending = 2 if number else 0
            assert await balances(services) == [(0, 2, 0)] * 3 + [(0, pending, 0)] * 3
    await assert_audit_is_clean(services)


async def test_many_points_of_one_member_need_a_second_operator(settings: Settings) -> None:
    velocity = """
[[protection.velocity]]
id = "ring"
per = "device"
counts = "activities"
at_most = 1
per_window = "day"
hold = "P3D"
"""
    async with guarded_services(settings, velocity) as services:
        await join(services, ring(1))
        for page in ("a", "b"):
            await perform(services, "m-01", visit(page))
        suspicion = await suspicion_of(services)
        assert (
            await decide(services, suspicion, "rejected", operator=ANNA, reason="a robot")
        ).kind == "requested"
        assert await balances(services, 1) == [(0, 1002, 0)]
        with pytest.raises(Refusal, match="four_eyes"):
            await decide(services, suspicion, "rejected", operator=ANNA, reason="again")
        made = await decide(services, suspicion, "rejected", operator=BORIS, reason="a robot")
        assert (made.kind, made.requested_by, made.made_by) == ("rejected", ANNA.id, BORIS.id)
        assert await balances(services, 1) == [(0, 501, 0)]
        await undo(services, suspicion, operator=ANNA, reason="a mistake")
        assert await balances(services, 1) == [(0, 1002, 0)]
        await assert_audit_is_clean(services)


@pytest.mark.parametrize("decided", [False, True], ids=["before", "after"])
async def test_a_merger_takes_what_is_held_along(services: Services, decided: bool) -> None:
    suspicion = await held_ring(services, 5)
    for member in ("m-04", "m-05"):
        await perform(services, member, share())
    if decided:
        await decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
    await merge_members(services, PROGRAM, "m-05", into="m-04", reason="one", operator="key-1")
    if not decided:
        await decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
    assert (await read_home(services, PROGRAM, "m-04")).balance.pending == 0
    await undo(services, suspicion, operator=ANNA, reason="a mistake")
    # The tap of one day is paid once, and so is the share of one id.
    pending = (await read_home(services, PROGRAM, "m-04")).balance.pending
    assert pending == (24 if decided else 12)
    await assert_audit_is_clean(services)


async def test_an_erased_member_leaves_the_place_and_no_name(services: Services) -> None:
    suspicion = await held_ring(services, 5)
    for member in ("m-01", "m-05"):
        await erase_member(services, PROGRAM, member, operator="key-1")
    assert (await rows(services.db, "SELECT count(*) FROM held_credits"))[0][0] == 1
    places = await rows(services.db, "SELECT member_id FROM velocity_places")
    assert len(places) == 3
    assert "m-01" not in {member for (member,) in places}
    await join(services, ["m-99"])
    late = await perform(services, "m-99")
    assert late.credits[0].due_at == services.clock.now() + FIVE_MINUTES + HOLD
    await decide(services, suspicion, "rejected", operator=ANNA, reason="one person")
    await undo(services, suspicion, operator=ANNA, reason="a mistake")
    await assert_audit_is_clean(services)


async def test_a_held_review_waits_for_its_confirmation_and_then_for_the_hold(services: Services) -> None:
    from engage.flows.shop.events import ReviewPublishedEvent, ReviewReference
    from engage.flows.shop.take_events import take_events

    await held_ring(services, 4)
    recorded = await perform(services, "m-04", review())
    assert recorded.credits[0].due_at is None
    event = ReviewPublishedEvent(
        id="e-1",
        time=services.clock.now(),
        program=PROGRAM,
        member_id="m-04",
        data=ReviewReference(review_id="r-1"),
    )
    await take_events(services, [event])
    found = await rows(services.db, "SELECT due_at FROM credits WHERE rule_id = 'review'")
    assert found == [(services.clock.now() + HOLD,)]
    await assert_audit_is_clean(services)
