"""Velocity rules: so many members or activities on one device earn as ever, the points of others are held."""

import asyncio
from datetime import timedelta

from engage.domain.program import sections
from engage.domain.protection.example_steps import StepOrigin
from engage.domain.protection.simulated import SimulatedProtection
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.record import record
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import advance
from tests.support.protection import PROGRAM, TAP, act, join, perform, review, ring, share

NORMAL, HOLD = timedelta(minutes=5), timedelta(days=3)


def delay(services: Services, recorded: RecordedActivity) -> timedelta:
    due_at = recorded.credits[0].due_at
    assert due_at is not None
    return due_at - services.clock.now()


async def test_the_fourth_member_of_a_device_waits_three_days_longer(services: Services) -> None:
    members = ring(4)
    await join(services, members)
    delays = [delay(services, await perform(services, member)) for member in members]
    assert delays == [NORMAL, NORMAL, NORMAL, NORMAL + HOLD]
    home = await read_home(services, PROGRAM, "m-04")
    assert (home.balance.pending, home.balance.active) == (2, 0)
    for passed, active in ((NORMAL, [2, 2, 2, 0]), (HOLD - NORMAL, [2, 2, 2, 0]), (NORMAL, [2, 2, 2, 2])):
        advance(services, passed)
        await settle_due(services, now=services.clock.now())
        found = [(await read_home(services, PROGRAM, member)).balance.active for member in members]
        assert found == active
    await assert_audit_is_clean(services)


async def test_fifty_members_at_once_on_one_device_have_three_places(
    services: Services, other: Services
) -> None:
    """Exactly three, in two processes, while Valkey is emptied again and again."""
    members = ring(50)
    await join(services, members)
    asking = [
        record((services, other)[n % 2], [act(services, member) for member in members[n::10]])
        for n in range(10)
    ]
    losing = [services.gate.forget_all() for _ in range(5)]
    results = await asyncio.gather(*asking, *losing)
    answers = [answer for result in results if result for answer in result]
    recorded = [answer for answer in answers if isinstance(answer, RecordedActivity)]
    assert len(recorded) == 50, [answer for answer in answers if isinstance(answer, Refusal)]
    delays = sorted(delay(services, answer) for answer in recorded)
    assert delays == [NORMAL] * 3 + [NORMAL + HOLD] * 47
    await assert_audit_is_clean(services)


async def test_the_decision_is_the_same_after_valkey_was_lost(services: Services) -> None:
    members = ring(4)
    await join(services, members)
    for member in members:
        await perform(services, member)
    await services.post_commit.drain()
    await services.gate.forget_all()
    await rebuild(services)
    held = [delay(services, await perform(services, member, share())) for member in members]
    assert held == [timedelta(hours=1)] * 3 + [timedelta(hours=1) + HOLD]


async def test_a_simulated_member_is_held_as_a_real_one(services: Services) -> None:
    """An example with so many others on a device is right about what happens after these."""
    *others, member = ring(4)
    await join(services, [*others, member])
    program, _ = services.programs.in_force(PROGRAM, at=services.clock.now(), country="ES")
    simulated = sections.simulate(program, "ES")
    simulated.feature(SimulatedProtection).come_from(StepOrigin(device="tablet", network="cafe", others=3))
    for other in others:
        await perform(services, other)
    for activity in (TAP, share(), review()):
        recorded = await perform(services, member, activity)
        expected = simulated.record(activity, services.clock.now())
        assert [(credit.rule, credit.due_at) for credit in recorded.credits] == [
            (credit.rule_id, credit.due_at) for credit in expected
        ]
        assert [credit.why for credit in recorded.credits] == [credit.why for credit in expected]
        assert simulated.feature(SimulatedProtection).held_by == ["ring"]
