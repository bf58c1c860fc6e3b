"""Pay the prizes of draws, each once: the credit and the note that it was paid are one commit.

A winner who was erased after the freeze gets nothing, and nobody gets it instead. The prize of one who was
merged goes to the survivor, beside the survivor's own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.draws.prize import prize
from engage.domain.earning.credit import NewCredit
from engage.domain.keys import DrawKey
from engage.domain.refusals import AccountClosed, AccountFull, Refusal
from engage.flows.draws.reserve import give_prizes_back
from engage.flows.draws.terms import begun_draw
from engage.ledger.accept import CreditToAccept
from engage.runtime.batch import in_parts
from engage.runtime.database import one_statement, transaction
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.draws import drawing as store
from engage.store.draws.drawing import Prize
from engage.store.draws.draws import DrawRow, read_draw
from engage.store.members.members import Member

log = structlog.get_logger()

PRIZES_PER_BATCH: Final = 200

# An account that is too full for a prize gets it when it has room.
FULL_FOR: Final = timedelta(days=1)


async def pay_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Pay the prizes that are due; how many. Raises Unavailable."""
    total = 0
    while paid := await pay_batch(services, now=now, on_time=on_time):
        total += paid
    return total


async def pay_batch(
    services: Services, *, now: datetime, on_time: bool = False, limit: int = PRIZES_PER_BATCH
) -> int:
    """Pay a batch of prizes; how many were looked at. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        prizes = await store.read_unpaid(
            conn, now=now, ahead=services.clock.ahead, on_time=on_time, limit=limit
        )
    answers = await in_parts(prizes, lambda part: _pay(services, part, now=now))
    full = [each for each, answer in zip(prizes, answers, strict=True) if isinstance(answer, AccountFull)]
    if full:
        async with transaction(services.db) as conn:
            await store.postpone_prizes(conn, full, until=now + FULL_FOR)
        log.warning("prizes wait for accounts that are full", count=len(full))
    return len(prizes)


async def _pay(services: Services, prizes: Sequence[Prize], *, now: datetime) -> list[Prize | Refusal]:
    """Raises AccountFull, and Unavailable, also where a member was merged or erased a moment ago."""
    rows = await _draws(services, prizes)
    credits = await _credits(services, prizes, rows)
    try:
        async with open_posting(services, cause="draw") as posting:
            accepting = [
                CreditToAccept(each.program_id, each.member_id, new_id(), credit)
                for each, credit in zip(prizes, credits, strict=True)
            ]
            reserved = {
                row.id
                for each, row in zip(prizes, accepting, strict=True)
                if rows[each.program_id, each.draw_id].reserved
            }
            # Whoever pays the same prize at the same time waits here, and then inserts nothing.
            await posting.accept(accepting, now=now, reserved=reserved)
            paid = [
                each for each, row in zip(prizes, accepting, strict=True) if row.id not in posting.exhausted
            ]
            await store.mark_paid(posting.conn, paid, at=now)
            if posting.exhausted:
                await _withhold(posting.conn, [each for each in prizes if each not in paid], rows, now=now)
    except AccountClosed:
        await services.members.refresh(services.db)
        raise
    return list(prizes)


async def _withhold(
    conn: AsyncConnection, prizes: Sequence[Prize], rows: Mapping[DrawKey, DrawRow], *, now: datetime
) -> None:
    """Keep the prizes of winners who may get no more of a campaign, and give them back to its budget."""
    withheld = await store.withhold(conn, prizes)
    for key, count in sorted(withheld.items()):
        log.warning("prizes are withheld by the budget of a campaign", draw=key[1], count=count)
        if rows[key].reserved:
            await give_prizes_back(conn, rows[key], count, now=now)


async def _credits(
    services: Services, prizes: Sequence[Prize], rows: Mapping[DrawKey, DrawRow]
) -> list[NewCredit]:
    members = await services.members.find(services.db, [(each.program_id, each.member_id) for each in prizes])
    return [
        await _credit(
            services,
            each,
            rows[each.program_id, each.draw_id],
            members[each.program_id, each.member_id],
        )
        for each in prizes
    ]


async def _draws(services: Services, prizes: Sequence[Prize]) -> dict[DrawKey, DrawRow]:
    found = {}
    async with transaction(services.db) as conn:
        for key in {(each.program_id, each.draw_id) for each in prizes}:
            row = await read_draw(conn, key)
            assert row is not None, "entries have a draw"
            found[key] = row
    return found


async def _credit(services: Services, won: Prize, row: DrawRow, member: Member) -> NewCredit:
    assert row.drawn_at is not None
    assert row.entries is not None
    assert row.round is not None
    program = services.programs.latest(row.program_id, at=row.drawn_at, country=member.country)
    market = program.countries.get(member.country) or next(iter(program.countries.values()))
    return prize(
        program.earning,
        await begun_draw(services, row),
        version=row.version,
        number=won.number,
        entries=row.entries,
        round_number=row.round,
        at=row.drawn_at,
        zone=market.zone,
    )
