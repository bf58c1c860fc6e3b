"""The list is frozen at the closing, the beacon's round decides, and every winner is paid once."""

import asyncio
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from engage.beacons.sandbox import SandboxBeacon
from engage.domain.draws.beacon import Chain
from engage.domain.draws.certificate import DrawCertificate, faults
from engage.domain.draws.commitment import ListedEntry
from engage.domain.draws.reading import read_certificate as read_file
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.draws.drawing import FIRST_RETRY, GIVE_UP, draw_due, freeze_due
from engage.flows.draws.enter import DrawEntry
from engage.flows.draws.prizes import pay_batch, pay_due
from engage.flows.draws.reads import read_certificate
from engage.flows.scheduled.due_work import run_due_work
from engage.runtime.services import Services
from tests.support.clock import DAY, FIVE_MINUTES, stopped_clock
from tests.support.database import rows
from tests.support.draws import (
    CLOSES_AT,
    PROGRAM,
    ROUND_AT,
    advance_to,
    entered,
    join,
    prizes,
    refused,
    shown,
    try_to_enter,
)

SECOND = timedelta(seconds=1)


async def join_and_enter(services: Services, count: int, draw_id: str = "plain") -> list[DrawEntry]:
    members = [f"m-{n}" for n in range(1, count + 1)]
    await join(services, *members)
    return [await entered(services, member, draw_id) for member in members]


async def certificate(services: Services, draw_id: str = "plain") -> DrawCertificate:
    """The certificate as a client reads it."""
    return read_file(await read_certificate(services, PROGRAM, "m-1", draw_id))


class LateBeacon:
    """A beacon that has no round until `since`."""

    def __init__(self, services: Services, since: datetime) -> None:
        self._beacon = services.beacon
        self._since = since
        self.asked: list[datetime] = []

    @property
    def chain(self) -> Chain:
        return self._beacon.chain

    async def signature(self, number: int, *, at: datetime) -> str | None:
        self.asked.append(at)
        return None if at < self._since else await self._beacon.signature(number, at=at)

    async def close(self) -> None:
        return


async def test_the_list_is_frozen_at_the_closing_and_its_root_published(services: Services) -> None:
    entries = await join_and_enter(services, 3)
    await advance_to(services, CLOSES_AT)
    draw = await shown(services)
    assert (draw.state, draw.entries, draw.published_at) == ("frozen", 3, CLOSES_AT)
    assert (draw.round_at, draw.winners, draw.my_number) == (ROUND_AT, None, 1)
    made = await certificate(services)
    assert made.entries == [ListedEntry(entry.number, entry.hash) for entry in entries]
    assert (made.root, made.round.number, made.round.signature) == (draw.root, draw.round, None)
    assert faults(made) == [
        f"round.signature: the draw waits for round {draw.round}, at {ROUND_AT.isoformat()}"
    ]
    assert (await refused(services, "m-1")).code == Code.DRAW_CLOSED


async def test_the_round_decides_and_the_certificate_proves_it(services: Services) -> None:
    await join_and_enter(services, 9)
    await advance_to(services, CLOSES_AT)
    frozen = await certificate(services)
    await advance_to(services, ROUND_AT - SECOND)
    assert (await shown(services)).state == "frozen"
    await advance_to(services, ROUND_AT)
    draw = await shown(services)
    assert (draw.state, draw.drawn_at, draw.entries) == ("drawn", ROUND_AT, 9)
    assert draw.winners is not None
    assert len(set(draw.winners)) == 2
    made = await certificate(services)
    assert faults(made) == []
    assert made.winners == draw.winners
    assert made.is_of_sandbox
    # Nothing of what was published has changed but what was missing.
    signed = replace(frozen, round=made.round, winners=made.winners)
    assert signed == made


async def test_winners_get_their_points_as_the_draw_says(services: Services) -> None:
    await join_and_enter(services, 5)
    await advance_to(services, ROUND_AT)
    winners = (await shown(services)).winners
    assert winners is not None
    due = ROUND_AT + FIVE_MINUTES
    assert await prizes(services) == [
        (f"m-{number}", number, 500, "pending", due) for number in sorted(winners)
    ]
    ((key, reference, why),) = await rows(
        services.db, "SELECT source_key, reference, why FROM credits WHERE member_id = :m AND rule_id = :r",
        m=f"m-{winners[0]}", r="draw:plain",
    )  # fmt: skip
    assert key == reference == f"draw:plain:{winners[0]}"
    assert isinstance(why, dict)
    assert why["activity"] == {"activity": "draw_prize", "draw_id": "plain", "number": winners[0]}
    await advance_to(services, due)
    assert [state for *_, state, _ in await prizes(services)] == ["active", "active"]


async def test_a_prize_can_be_due_at_the_next_local_day(services: Services) -> None:
    stopped_clock(services).at = datetime.fromisoformat("2026-11-22T01:00:00Z")
    await join(services, "pt", country="PT")
    await entered(services, "pt", "later")
    await advance_to(services, datetime.fromisoformat("2026-11-23T01:00:00Z"))
    assert await prizes(services) == [
        ("pt", 1, 10, "pending", datetime.fromisoformat("2026-11-24T00:00:00Z"))
    ]


async def test_with_fewer_entries_than_prizes_all_win(services: Services) -> None:
    await join_and_enter(services, 1)
    await advance_to(services, ROUND_AT)
    assert (await shown(services)).winners == [1]
    assert [row[:3] for row in await prizes(services)] == [("m-1", 1, 500)]
    assert faults(await certificate(services)) == []


async def test_without_entries_a_draw_is_void(services: Services) -> None:
    await join(services, "m-1")
    await advance_to(services, CLOSES_AT)
    draw = await shown(services)
    assert (draw.state, draw.entries, draw.winners) == ("void", 0, None)
    with pytest.raises(Refusal) as caught:
        await certificate(services)
    assert caught.value.code == Code.NOT_FOUND


async def test_all_is_done_as_a_clock_passes_it_however_far(services: Services) -> None:
    await join_and_enter(services, 4)
    await advance_to(services, CLOSES_AT + 400 * DAY)
    draw = await shown(services)
    assert (draw.state, draw.published_at, draw.drawn_at) == ("drawn", CLOSES_AT, ROUND_AT)
    assert {state for *_, state, _ in await prizes(services)} == {"active"}


async def test_a_list_that_is_frozen_late_gets_a_round_after_that(services: Services) -> None:
    await join_and_enter(services, 3)
    late = ROUND_AT + timedelta(hours=2)
    stopped_clock(services).at = late
    assert await freeze_due(services, now=late) == 1
    draw = await shown(services)
    assert draw.round_at is not None
    assert draw.published_at == late
    assert late + timedelta(minutes=1) < draw.round_at <= late + timedelta(minutes=1, seconds=3)
    await run_due_work(services, now=late)
    assert (await shown(services)).state == "frozen", "a round that is out already decides nothing"
    await advance_to(services, draw.round_at)
    assert faults(await certificate(services)) == []


async def test_a_late_beacon_is_asked_again_until_it_has_the_named_round(services: Services) -> None:
    await join_and_enter(services, 3)
    since = ROUND_AT + timedelta(minutes=3)
    beacon = LateBeacon(services, since)
    waiting = replace(services, beacon=beacon)
    await advance_to(waiting, since + timedelta(minutes=10))
    waits = [later - earlier for earlier, later in zip(beacon.asked, beacon.asked[1:], strict=False)]
    assert beacon.asked[0] == ROUND_AT
    assert waits == [FIRST_RETRY * 2**n for n in range(len(waits))]
    draw = await shown(services)
    assert (draw.state, draw.round_at, draw.drawn_at) == ("drawn", ROUND_AT, beacon.asked[-1])
    assert faults(await certificate(services)) == []
    assert len(await prizes(services)) == 2


async def test_without_its_round_a_draw_is_void_after_a_week_and_pays_nobody(services: Services) -> None:
    await join_and_enter(services, 3)
    await advance_to(services, CLOSES_AT)
    waiting = replace(services, beacon=LateBeacon(services, ROUND_AT + 100 * DAY))
    for at in (ROUND_AT, ROUND_AT + GIVE_UP - SECOND):
        stopped_clock(services).at = at
        await draw_due(waiting, now=at)
        assert (await shown(services)).state == "frozen"
    stopped_clock(services).at = ROUND_AT + GIVE_UP
    await draw_due(waiting, now=ROUND_AT + GIVE_UP)
    draw = await shown(services)
    assert (draw.state, draw.winners) == ("void", None)
    # The list stays public: whoever has the round knows who would have won, and that it was there.
    assert (await certificate(services)).root == draw.root
    await advance_to(services, ROUND_AT + 101 * DAY)
    assert await prizes(services) == []


async def test_only_the_beacon_that_the_list_was_frozen_for_decides(services: Services) -> None:
    await join_and_enter(services, 3)
    await advance_to(services, CLOSES_AT)
    stopped_clock(services).at = ROUND_AT
    await draw_due(replace(services, beacon=SandboxBeacon("another folder")), now=ROUND_AT)
    assert (await shown(services)).state == "frozen"
    await draw_due(services, now=ROUND_AT + FIRST_RETRY)
    assert faults(await certificate(services)) == []


async def test_an_entry_that_was_answered_is_in_the_list_however_the_freeze_falls(
    services: Services, other: Services
) -> None:
    members = [f"m-{n}" for n in range(1, 41)]
    await join(services, *members)
    await entered(services, "m-1")

    async def freeze_between(process: Services) -> None:
        await asyncio.sleep(0)  # Some entries are under way.
        await freeze_due(process, now=CLOSES_AT)

    stopped_clock(services).at = CLOSES_AT - timedelta(microseconds=1)
    answers = await asyncio.gather(
        *(try_to_enter((services, other)[n % 2], member) for n, member in enumerate(members[1:21])),
        freeze_between(services),
        freeze_between(other),
        *(try_to_enter((services, other)[n % 2], member) for n, member in enumerate(members[21:])),
    )
    accepted = {answer.number: answer.hash for answer in answers if isinstance(answer, DrawEntry)}
    turned_away = [answer for answer in answers if isinstance(answer, Refusal)]
    assert {refusal.code for refusal in turned_away} <= {Code.DRAW_CLOSED}
    assert len(accepted) + len(turned_away) == 39
    listed = {entry.number: entry.hash for entry in (await certificate(services)).entries}
    assert accepted.items() <= listed.items()
    assert len(listed) == len(accepted) + 1


async def test_workers_at_once_freeze_draw_and_pay_once(services: Services, other: Services) -> None:
    await join_and_enter(services, 8)
    for at in (CLOSES_AT, ROUND_AT):
        stopped_clock(services).at = at
        await asyncio.gather(
            *(run_due_work(process, now=at) for process in (services, other) for _ in range(4))
        )
    await run_due_work(services, now=ROUND_AT)
    assert len(await prizes(services)) == 2
    assert faults(await certificate(services)) == []


async def test_a_prize_that_two_workers_pay_is_paid_once(services: Services, other: Services) -> None:
    await join_and_enter(services, 8)
    await advance_to(services, CLOSES_AT)
    stopped_clock(services).at = ROUND_AT
    await draw_due(services, now=ROUND_AT)
    await asyncio.gather(*(pay_due(process, now=ROUND_AT) for process in (services, other) for _ in range(5)))
    assert len(await prizes(services)) == 2


async def test_a_prize_that_fails_halfway_is_paid_later_and_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join_and_enter(services, 8)
    await advance_to(services, CLOSES_AT)
    stopped_clock(services).at = ROUND_AT
    await draw_due(services, now=ROUND_AT)
    assert await pay_batch(services, now=ROUND_AT, limit=1) == 1
    with monkeypatch.context() as patched:

        async def fail(*_: object, **__: object) -> None:
            raise Unavailable("postgres")

        patched.setattr("engage.store.draws.drawing.mark_paid", fail)
        with pytest.raises(Unavailable):
            await pay_batch(services, now=ROUND_AT, limit=1)
    assert len(await prizes(services)) == 1, "the credit was rolled back with the note"
    await pay_due(services, now=ROUND_AT)
    assert len(await prizes(services)) == 2
