"""The shop's events: each is done once, in any order, for the member that it names."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from engage.domain.refusals import Refusal, Unavailable
from engage.flows.activities.record import record
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent, content_of
from engage.flows.shop.take_events import EventsTaken, take_events
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    act,
    join,
    link,
    perform,
    review,
    review_removed,
    share_removed,
    signed_in,
    social,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, FIVE_MINUTES, advance
from tests.support.database import rows

DONE: tuple[int, int, list[str]] = (1, 0, [])


def summary(taken: EventsTaken) -> tuple[int, int, list[str]]:
    return taken.accepted, taken.repeated, [refused.code for refused in taken.refused.values()]


async def balance(services: Services) -> tuple[object, ...]:
    (found,) = await rows(services.db, "SELECT active, pending FROM balances WHERE member_id = 'm-1'")
    return found


async def code_of(services: Services, activity: object) -> str:
    (answer,) = await record(services, [act(services, activity)])  # type: ignore[arg-type]
    assert isinstance(answer, Refusal), answer
    return answer.code


async def test_a_repeated_event_changes_nothing(services: Services, settings: Settings) -> None:
    await join(services)
    await perform(services, review())
    events: list[AnyEvent] = [signed_in(services), review_removed(services, "r-1")]
    assert summary(await take_events(services, events)) == (2, 0, [])
    assert summary(await take_events(services, events)) == (0, 2, [])
    assert summary(await take_events(services, [*events, *events, signed_in(services)])) == (1, 4, [])
    assert await balance(services) == (0, 80), "registered and signed in, once"
    await assert_audit_is_clean(services)


async def test_only_the_first_sign_in_pays_and_the_others_are_accepted(services: Services) -> None:
    await join(services)
    assert summary(await take_events(services, [signed_in(services) for _ in range(3)])) == (3, 0, [])
    assert await balance(services) == (0, 80)


async def test_a_review_is_taken_back_before_and_after_it_is_active(
    services: Services, settings: Settings
) -> None:
    await join(services)
    await perform(services, review("a", "r-1"))
    await perform(services, review("b", "r-2"))
    assert summary(await take_events(services, [review_removed(services, "r-1")])) == DONE
    assert await balance(services) == (0, 70)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    assert summary(await take_events(services, [review_removed(services, "r-2")])) == DONE
    assert await balance(services) == (50, 0)
    assert summary(await take_events(services, [review_removed(services, "r-2")])) == DONE, (
        "another event, nothing to do"
    )
    statement = await rows(
        services.db, "SELECT kind, active_delta, balance_after, corrects FROM entries ORDER BY seq"
    )
    assert [entry[1:3] for entry in statement] == [(50, 50), (20, 70), (-20, 50)]
    assert statement[-1][0::3] == ("clawback", 6), "it names the entry that it takes back"
    assert await code_of(services, review("a", "r-3")) == "already_rewarded", "the first review only"
    await assert_audit_is_clean(services)


async def test_two_removals_at_once_take_an_activity_back_once(
    services: Services, settings: Settings
) -> None:
    await join(services)
    await perform(services, review())
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    twice: list[AnyEvent] = [review_removed(services, "r-1"), review_removed(services, "r-1")]
    assert summary(await take_events(services, twice)) == (2, 0, [])
    assert await balance(services) == (50, 0)
    await assert_audit_is_clean(services)


async def test_a_removed_share_loses_all_its_credits(services: Services, settings: Settings) -> None:
    await join(services)
    await perform(services, link("s-1"))
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    assert await balance(services) == (70, 1), "one of its credits is pending for a day"
    assert summary(await take_events(services, [share_removed(services, "s-1")])) == DONE
    assert await balance(services) == (50, 0)
    (again,) = await record(services, [act(services, link("s-1"))])
    assert isinstance(again, Refusal)
    assert (again.code, again.status) == ("activity_removed", 409)
    await assert_audit_is_clean(services)


async def test_a_removal_may_come_before_its_activity(services: Services, settings: Settings) -> None:
    await join(services)
    early: list[AnyEvent] = [review_removed(services, "r-1"), share_removed(services, "s-1")]
    assert summary(await take_events(services, early)) == (2, 0, [])
    assert await code_of(services, review("a", "r-1")) == "activity_removed"
    assert await code_of(services, link("s-1")) == "activity_removed"
    assert await code_of(services, social("s-1")) == "activity_removed"
    assert [c.rule for c in (await perform(services, review("a", "r-2"))).credits] == ["review"]
    assert await perform(services, link("s-2"))
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("turn", range(8))
async def test_a_removal_and_its_activity_at_once_agree(
    services: Services, other: Services, settings: Settings, turn: int
) -> None:
    await join(services)
    removals = [take_events(other, [share_removed(other, f"s-{n}")]) for n in range(3)]
    shares = [record(services, [act(services, social(f"s-{n}"))]) for n in range(3)]
    both = [*removals, *shares] if turn % 2 else [*shares, *removals]
    await asyncio.gather(*both)
    await settle_due(services, now=advance(services, 2 * DAY))
    assert await balance(services) == (50, 0)
    await assert_audit_is_clean(services)


async def test_the_same_events_from_two_callers_at_once_are_done_once(
    services: Services, other: Services, settings: Settings
) -> None:
    members = [f"m-{n}" for n in range(10)]
    for member in members:
        await join(services, member)
        await perform(services, review(), member)
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    events = [
        event for m in members for event in (signed_in(services, m), review_removed(services, "r-1", m))
    ]
    backwards = list(reversed(events))
    await asyncio.gather(
        *(take_events(process, sequence) for process in (services, other) for sequence in (events, backwards))
    )
    assert summary(await take_events(services, events)) == (0, 20, [])
    found = await rows(services.db, "SELECT DISTINCT active, pending FROM balances")
    assert found == [(50, 30)]
    await assert_audit_is_clean(services)


async def test_an_event_can_name_its_member_by_card(services: Services) -> None:
    registration = MemberRegistration(
        member_id="m-1", program=PROGRAM, country="ES", card_numbers=["0001", "0002"]
    )
    await register_member(services, registration)
    for number, expected in (("0002", (1, 0, [])), ("0003", (0, 0, ["unknown_member"]))):
        event = msgspec.structs.replace(signed_in(services), member_id=None, card_number=number)
        assert summary(await take_events(services, [event])) == expected
    assert await balance(services) == (0, 80)


async def test_each_refusal_is_reported_and_the_other_events_are_done(services: Services) -> None:
    await join(services)
    replace = msgspec.structs.replace
    events: list[AnyEvent] = [
        signed_in(services, "nobody"),
        replace(signed_in(services), member_id=None),
        replace(signed_in(services), program="no-program"),
        signed_in(services, at=services.clock.now() + timedelta(minutes=6)),
        signed_in(services, at=services.clock.now().replace(year=2019)),
        signed_in(services),
        signed_in(services, at=services.clock.now() + timedelta(minutes=4)),
    ]
    taken = await take_events(services, events)
    assert summary(taken) == (
        2,
        0,
        ["unknown_member", "member_missing", "unknown_program", "time_in_future", "not_offered"],
    )
    assert list(taken.refused) == [0, 1, 2, 3, 4]
    assert [taken.refused[n].facts for n in (1, 2, 3)] == [{}, {"program": "no-program"}, {}]
    await join(services, "nobody")
    assert summary(await take_events(services, events[:1])) == DONE, "it may be sent again"


async def test_an_old_event_is_decided_as_of_its_time_and_due_at_once(
    services: Services, settings: Settings
) -> None:
    await join(services)
    await take_events(services, [signed_in(services, at=services.clock.now() - 30 * DAY)])
    assert await settle_due(services, now=services.clock.now()) == 1
    assert await balance(services) == (30, 50)
    await assert_audit_is_clean(services)


async def test_no_event_is_recorded_when_a_service_is_away(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join(services)
    await perform(services, review())
    events: list[AnyEvent] = [signed_in(services), review_removed(services, "r-1")]

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("valkey")

    monkeypatch.setattr(type(services.gate), "claim", away)
    with pytest.raises(Unavailable):
        await take_events(services, events)
    monkeypatch.undo()
    assert summary(await take_events(services, events)) == (2, 0, [])
    assert await balance(services) == (0, 80)


@pytest.mark.parametrize("turn", range(4))
async def test_of_two_events_under_one_id_at_once_one_is_done(
    services: Services, other: Services, settings: Settings, turn: int
) -> None:
    await join(services)
    names = [f"r-{n}" for n in range(8)]
    for name in names:
        await perform(services, review(name, name))
    ids = [f"e-{turn}-{n}" for n in range(4)]
    events = [
        msgspec.structs.replace(review_removed(services, name), id=id_)
        for name, id_ in zip(names, [*ids, *ids], strict=True)
    ]
    taken = await asyncio.gather(
        *(take_events((services, other)[n % 2], [event]) for n, event in enumerate(events))
    )
    assert sorted(summary(each) for each in taken) == [(0, 0, ["id_reused"])] * 4 + [DONE] * 4
    for _, event, answer in zip(names, events, taken, strict=True):
        (again,) = [summary(await take_events(services, [event]))]
        assert again == ((0, 1, []) if answer.accepted else (0, 0, ["id_reused"]))
    assert await balance(services) == (0, 50 + 4 * 20), "four reviews were taken back"
    await assert_audit_is_clean(services)


def test_the_content_of_an_event_is_the_same_in_every_release() -> None:
    """Another digest would refuse what a shop sends again after an upgrade. So a new field of an event, of
    its data or of a line is left out of the digest where the shop does not send it.
    """
    head = {"id": "e-1", "time": "2026-11-21T12:00:00Z", "program": "p", "member_id": "m-1"}
    line = {"line_id": "1", "product_id": "band", "paid": 5}
    paid = {
        "order_id": "o-1",
        "channel": "web",
        "payment": {"method": "card"},
        "lines": [line],
        "currency": "EUR",
    }
    data = {
        "order.paid": paid,
        "order.returned": {"order_id": "o-1", "return_id": "r-1"},
        "review.removed": {"review_id": "r-1"},
    }
    digests = {
        kind: content_of(msgspec.convert(head | {"type": kind, "data": of_kind}, AnyEvent)).digest
        for kind, of_kind in data.items()
    }
    assert {kind: digest.hex()[:8] for kind, digest in digests.items() if digest is not None} == {
        "order.paid": "93c2b566",
        "order.returned": "37c60c5f",
        "review.removed": "49980ba1",
    }
