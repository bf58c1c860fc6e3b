"""Callers that die, lost keys and late confirmations: no slot is lost or used twice."""

from typing import Any

import pytest

from engage.connections.servers import Call, Servers
from engage.gate import keys
from engage.gate.claims import SlotRequest
from engage.gate.client import ONCE_TTL_S, Gate
from tests.gate.claims import (
    GRANTED,
    PROGRAM,
    REFUSED,
    UNKNOWN,
    claim,
    claim_all,
    claim_day,
    confirm,
    load,
    places,
    review,
    share,
    streak,
    taken,
    tap,
    undo,
)


async def test_an_unconfirmed_day_is_granted_again(gate: Gate) -> None:
    await load(gate, streak(1, 4))
    assert await claim(gate, tap(2)) == (GRANTED, 5)
    assert await claim(gate, tap(2)) == (GRANTED, 5)


async def test_another_day_is_unknown_while_the_last_is_unconfirmed(gate: Gate) -> None:
    await load(gate, streak(1, 4))
    await claim(gate, tap(3))
    assert await claim(gate, tap(4)) == (UNKNOWN, 0)
    assert await claim(gate, tap(2)) == (UNKNOWN, 0), "if day 3 came to nothing, day 2 is free"


async def test_a_full_window_with_unconfirmed_slots_is_unknown(gate: Gate) -> None:
    await load(gate, places(1))
    assert [answer.number for answer in await claim_all(gate, share(), share())] == [2, 3]
    await confirm(gate, share(), 3)
    assert await claim(gate, share()) == (UNKNOWN, 0)
    await undo(gate, share())
    await load(gate, places(1, 3))
    assert await taken(gate, share()) == 2


async def test_a_late_confirmation_does_not_confirm_another_claim(gate: Gate) -> None:
    await load(gate)
    await claim_all(gate, share(count=2), share(count=2))
    # The member is forgotten before the database has accepted a credit. Another caller claims, and dies.
    await undo(gate, share())
    await load(gate)
    assert await claim(gate, share(count=2)) == (GRANTED, 1)
    await confirm(gate, share(count=2), 2)
    await confirm(gate, share(count=2), 2)
    assert await claim(gate, share(count=2)) == (UNKNOWN, 0), "place 1 may be free"


async def test_a_confirmation_holds_after_a_loss(gate: Gate) -> None:
    await load(gate)
    first = await claim_day(gate, tap(1))
    await claim(gate, share())
    await undo(gate, tap(1))
    await load(gate)
    await confirm(gate, tap(1), 1, event=first)
    await confirm(gate, share(), 2)
    assert await claim(gate, tap(1)) == (REFUSED, 1)
    assert await claim(gate, tap(2)) == (GRANTED, 2)
    assert [answer.number for answer in await claim_all(gate, share(), share())] == [1, 3]


async def test_a_confirmation_of_an_older_event_changes_nothing(gate: Gate) -> None:
    await load(gate)
    first = await claim_day(gate, tap(1))
    await undo(gate, tap(1))
    await load(gate, streak(2, 9))
    await confirm(gate, tap(1), 1, event=first)
    assert await claim(gate, tap(3)) == (GRANTED, 10)


async def test_a_confirmation_does_not_load_an_unknown_member(gate: Gate) -> None:
    await load(gate)
    first = await claim_day(gate, tap(1))
    await undo(gate, tap(1))
    await confirm(gate, tap(1), 1, event=first)
    assert await gate.read(PROGRAM, "m-1") is None


async def test_undo_forgets_the_member(gate: Gate) -> None:
    await load(gate)
    await claim_all(gate, tap(1), share(), review("band"))
    await gate.undo([SlotRequest(PROGRAM, "m-1", slot) for slot in (tap(1), review("band"))])
    assert await claim(gate, tap(1)) == (UNKNOWN, 0)
    assert await claim(gate, share()) == (UNKNOWN, 0)
    assert await claim(gate, review("band")) == (GRANTED, 1)


async def test_loading_does_not_overwrite_a_known_member(gate: Gate) -> None:
    await load(gate, streak(1, 4))
    await taken(gate, tap(2))
    await load(gate, streak(1, 4))
    assert await claim(gate, tap(3)) == (GRANTED, 6)


async def one(state: Servers, key: str, command: str, *arguments: str) -> Any:
    (answer,) = await state.run([Call(key, (command, key, *arguments))])
    assert not isinstance(answer, Exception)
    return answer


async def test_every_key_has_a_time_to_live(gate: Gate, state: Servers) -> None:
    await load(gate)
    await load(gate, member="m-2")
    await claim_all(gate, tap(1), share(), review("band"), review("watch"))
    await confirm(gate, review("watch"), 1)
    found = {key: await one(state, key, "TTL") async for names in state.scan("", 100) for key in names}
    hashes = {ttl for key, ttl in found.items() if key.endswith("}")}
    once = {ttl for key, ttl in found.items() if "}:" in key}
    assert len(found) == 4
    assert all(39 * 86_400 < ttl <= 40 * 86_400 for ttl in hashes)
    assert all(ONCE_TTL_S - 60 < ttl <= ONCE_TTL_S for ttl in once)
    assert all(key.startswith(keys.PREFIX) for key in found)


async def test_members_with_old_records_are_dropped_when_others_are_loaded(
    gate: Gate, state: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "BUCKETS", 1)
    for n in range(31):
        last, share_day = (1, 1) if n % 2 else (60, 60)
        await load(gate, streak(last, 3), places(1, number=share_day), member=f"m-{n}")
    assert await one(state, keys.bucket(PROGRAM, "m-0"), "HLEN") == 31
    await load(gate, streak(61, 1), member="m-31", today=62)
    known = [n for n in range(32) if await gate.read(PROGRAM, f"m-{n}") is not None]
    assert known == [*range(0, 31, 2), 31]


async def test_forget_all_drops_every_key(gate: Gate, state: Servers) -> None:
    await one(state, "engage:other", "SET", "stays")
    await gate.load([(PROGRAM, f"m-{n}", []) for n in range(2_500)], day=20_000, month=24_000)
    await claim(gate, review("band"))
    await gate.forget_all()
    assert [names async for names in state.scan("", 100)] == [["engage:other"]]
