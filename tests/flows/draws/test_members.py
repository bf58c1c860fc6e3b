"""Erased and merged members: before the freeze the list follows them, after it nothing changes."""

import asyncio

from engage.domain.draws.certificate import DrawCertificate, faults
from engage.domain.draws.reading import read_certificate as read_file
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.draws.drawing import draw_due, freeze_due
from engage.flows.draws.enter import DrawEntry
from engage.flows.draws.prizes import pay_due
from engage.flows.draws.reads import read_certificate
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.runtime.services import Services
from tests.support.clock import stopped_clock
from tests.support.database import rows
from tests.support.draws import (
    CLOSES_AT,
    POST,
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

MEMBERS = [f"m-{n}" for n in range(1, 6)]


async def erase(services: Services, member_id: str) -> None:
    await erase_member(services, PROGRAM, member_id, operator="key-1")


async def merge(services: Services, member_id: str, into: str) -> None:
    await merge_members(services, PROGRAM, member_id, into=into, reason="one person", operator="key-1")


async def certificate(services: Services, member_id: str) -> DrawCertificate:
    return read_file(await read_certificate(services, PROGRAM, member_id, "plain"))


async def draw_winners(services: Services) -> tuple[list[int], list[int]]:
    """Freeze and draw, and pay nothing yet: (winners, the others)."""
    await advance_to(services, CLOSES_AT)
    stopped_clock(services).at = ROUND_AT
    await draw_due(services, now=ROUND_AT)
    found = await rows(services.db, "SELECT number, place FROM draw_list WHERE draw_id = 'plain'")
    numbers = [(int(str(number)), place) for number, place in found]
    winners = sorted((n for n in numbers if n[1] is not None), key=lambda n: str(n[1]))
    return [number for number, _ in winners], [number for number, place in numbers if place is None]


async def test_an_erased_member_leaves_the_list_before_the_freeze(services: Services) -> None:
    await join(services, *MEMBERS)
    for member in MEMBERS:
        await entered(services, member)
    await erase(services, "m-2")
    assert (await shown(services, "m-1")).entries == 4
    await advance_to(services, ROUND_AT)
    made = await certificate(services, "m-1")
    assert [entry.number for entry in made.entries] == [1, 3, 4, 5]
    assert faults(made) == []


async def test_a_draw_whose_entries_have_all_left_is_void(services: Services) -> None:
    await join(services, "m-1", "m-2")
    await entered(services, "m-1")
    await erase(services, "m-1")
    await advance_to(services, ROUND_AT)
    assert ((await shown(services, "m-2")).state, (await shown(services, "m-2")).entries) == ("void", 0)


async def test_erasure_leaves_nothing_personal_of_an_entry(services: Services) -> None:
    await join(services, "m-1", "m-2")
    await entered(services, "m-1", "rewardmi", POST)
    await entered(services, "m-1")
    await entered(services, "m-2")
    await advance_to(services, ROUND_AT)
    await erase(services, "m-1")
    assert await rows(services.db, "SELECT member_id FROM draw_entries") == [("m-2",)]
    everything = [
        str(row)
        for table in ("draws", "draw_entries", "draw_list")
        for row in await rows(services.db, f"SELECT * FROM {table}")
    ]
    assert not [row for row in everything if "m-1" in row or "ana" in row]
    assert faults(await certificate(services, "m-2")) == []


async def test_after_the_freeze_an_erased_member_stays_listed_and_is_not_paid(services: Services) -> None:
    await join(services, *MEMBERS)
    for member in MEMBERS:
        await entered(services, member)
    winners, others = await draw_winners(services)
    before = await certificate(services, f"m-{others[0]}")
    await erase(services, f"m-{winners[0]}")
    await pay_due(services, now=ROUND_AT)
    assert [row[1] for row in await prizes(services)] == winners[1:], "and nobody gets it instead"
    assert await certificate(services, f"m-{others[0]}") == before
    assert faults(before) == []


async def test_a_merged_member_has_one_entry(services: Services) -> None:
    await join(services, "m-1", "m-2", "m-3", "m-4")
    first = await entered(services, "m-1")
    await entered(services, "m-2")
    third = await entered(services, "m-3")
    await merge(services, "m-1", into="m-2")  # Both have one: the survivor's stays.
    await merge(services, "m-3", into="m-4")  # The survivor has none, and gets this one.
    assert (await refused(services, "m-1")).facts == {"number": 2}
    draw = await shown(services, "m-4")
    assert (draw.entries, draw.my_number, draw.my_entry) == (2, 3, third)
    assert third.member_id == "m-3", "the receipt is still of the id that has entered"
    await advance_to(services, ROUND_AT)
    made = await certificate(services, "m-4")
    assert [entry.number for entry in made.entries] == [2, 3]
    assert first.hash not in {entry.hash for entry in made.entries}
    assert faults(made) == []
    assert [row[:2] for row in await prizes(services)] == [("m-2", 2), ("m-4", 3)]


async def test_another_process_learns_of_mergers_and_erasures_as_it_enters(
    services: Services, other: Services
) -> None:
    await join(services, "m-1", "m-2", "m-3")
    for member in ("m-1", "m-3"):
        await shown(other, member)  # It knows them as they are.
    await merge(services, "m-1", into="m-2")
    await erase(services, "m-3")
    assert (await entered(other, "m-1")).member_id == "m-2"
    assert (await refused(other, "m-3")).code == Code.UNKNOWN_MEMBER


async def test_after_the_freeze_the_survivor_gets_the_prizes_of_both(services: Services) -> None:
    await join(services, *MEMBERS)
    for member in MEMBERS:
        await entered(services, member)
    winners, others = await draw_winners(services)
    before = await certificate(services, f"m-{others[0]}")
    await merge(services, f"m-{winners[0]}", into=f"m-{winners[1]}")
    await merge(services, f"m-{others[0]}", into=f"m-{others[1]}")
    await pay_due(services, now=ROUND_AT)
    assert {row[:2] for row in await prizes(services)} == {(f"m-{winners[1]}", n) for n in winners}
    assert await certificate(services, f"m-{others[1]}") == before


async def test_a_prize_moves_with_a_merger_and_is_not_paid_again(services: Services) -> None:
    await join(services, *MEMBERS, "m-9")
    for member in MEMBERS:
        await entered(services, member)
    await advance_to(services, ROUND_AT)
    winners = (await shown(services, "m-1")).winners
    assert winners is not None
    await merge(services, f"m-{winners[0]}", into="m-9")
    await pay_due(services, now=ROUND_AT)
    live = [row[:3] for row in await prizes(services) if row[3] != "reversed"]
    assert sorted(live, key=lambda row: str(row[1])) == [
        ("m-9" if number == winners[0] else f"m-{number}", number, 500) for number in sorted(winners)
    ]


async def test_mergers_erasures_entries_and_the_freeze_at_once(services: Services, other: Services) -> None:
    members = [f"m-{n}" for n in range(24)]
    await join(services, *members)
    for member in members[:16]:
        await entered(services, member)

    async def attempt(process: Services, n: int) -> object:
        try:
            match n % 3:
                case 0:
                    await merge(process, members[n], into=members[n + 1])
                case 1:
                    await erase(process, members[n + 1])
                case _:
                    return await try_to_enter(process, members[n])
            return None
        except (Refusal, Unavailable) as refusal:
            return refusal

    stopped_clock(services).at = CLOSES_AT
    answers = await asyncio.gather(
        *(attempt((services, other)[n % 2], n) for n in range(0, 12)),
        freeze_due(other, now=CLOSES_AT),
        *(attempt((services, other)[n % 2], n) for n in range(12, 23)),
    )
    closed = [answer for answer in answers if isinstance(answer, Refusal)]
    assert not [answer for answer in answers if isinstance(answer, DrawEntry)], "it is closed"
    assert {refusal.code for refusal in closed} <= {
        *(Code.DRAW_CLOSED, Code.UNKNOWN_MEMBER, Code.MEMBER_ERASED, Code.MEMBER_MERGED, Code.UNAVAILABLE)
    }
    await advance_to(services, ROUND_AT)
    survivor = next(
        str(row[0])
        for row in await rows(
            services.db,
            "SELECT member_id FROM members WHERE merged_into IS NULL AND erased_at IS NULL ORDER BY 1",
        )
    )
    assert faults(await certificate(services, survivor)) == []
    # The fixture's audit finds every listed entry that should not be there, and every prize.
