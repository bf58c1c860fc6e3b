"""The freeze of a draw at its closing, and its drawing at the round of the beacon.

The round is named at the freeze and never replaced. While the beacon is late it is asked again, after
FIRST_RETRY, then after twice as long each time, up to LAST_RETRY. Without the round GIVE_UP after its time
the draw is void: nobody wins, and whoever has the frozen list and the round can see who would have.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.draws.beacon import Chain
from engage.domain.draws.certificate import CertifiedRound, DrawCertificate, certified, terms_of
from engage.domain.draws.commitment import ALGORITHM, ListedEntry, root_of
from engage.domain.draws.drawing import named_round, winners_of
from engage.flows.draws.reserve import give_back_unwon
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.draws import drawing as store
from engage.store.draws.draws import DrawRow

log = structlog.get_logger()

FIRST_RETRY: Final = timedelta(seconds=5)
LAST_RETRY: Final = timedelta(minutes=10)
GIVE_UP: Final = timedelta(days=7)


async def freeze_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Freeze the lists of the draws that have closed; how many. Raises Unavailable."""
    total = 0
    while await _freeze_one(services, now, on_time=on_time):
        total += 1
    return total


async def _freeze_one(services: Services, now: datetime, *, on_time: bool) -> bool:
    async with transaction(services.db) as conn:
        row = await store.lock_closing(conn, now=now, ahead=services.clock.ahead, on_time=on_time)
        if row is None:
            return False
        at = row.closes_at if on_time else now
        entries = await store.list_entries(conn, row.key)
        if not entries:
            await store.void(conn, row.key, at=at)
            await give_back_unwon(conn, row, winners=0, now=now)
            log.info("draw without entries", program=row.program_id, draw=row.draw_id)
            return True
        frozen = _frozen(row, entries, services.beacon.chain, at=at)
        await store.freeze(conn, frozen)
    # The log is a place of its own where the root is known before the round.
    log.info(
        "draw frozen",
        program=frozen.program_id,
        draw=frozen.draw_id,
        entries=frozen.entries,
        root=frozen.root,
        round=frozen.round,
    )
    return True


def _frozen(row: DrawRow, entries: list[ListedEntry], chain: Chain, *, at: datetime) -> DrawRow:
    number = named_round(
        chain, closes_at=row.closes_at, round_after=timedelta(seconds=row.round_after_s), published_at=at
    )
    named = replace(
        row,
        published_at=at,
        entries=len(entries),
        beacon=chain.beacon,
        public_key=chain.public_key,
        round=number,
        round_at=chain.time_of(number),
    )
    return replace(named, root=root_of(terms_of(certificate_of(named, entries, chain, None)), entries))


def certificate_of(
    row: DrawRow, entries: list[ListedEntry], chain: Chain, winners: list[int] | None
) -> DrawCertificate:
    """The certificate of a draw that is frozen."""
    assert row.published_at is not None
    assert row.round is not None
    assert row.beacon is not None
    return DrawCertificate(
        program=row.program_id,
        draw_id=row.draw_id,
        version=row.version,
        algorithm=ALGORITHM,
        closes_at=row.closes_at,
        round_after_s=row.round_after_s,
        prizes=row.prizes,
        points=row.points,
        entries=entries,
        root=row.root or "",
        published_at=row.published_at,
        round=CertifiedRound(row.round, chain.time_of(row.round), row.signature),
        beacon=row.beacon,
        chain=certified(chain),
        winners=winners,
    )


async def draw_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Draw the winners of the draws whose round is out; how many draws were looked at. Raises Unavailable."""
    total = 0
    while await _draw_one(services, now, on_time=on_time):
        total += 1
    return total


async def _draw_one(services: Services, now: datetime, *, on_time: bool) -> bool:
    async with transaction(services.db) as conn:
        row = await store.lock_asking(conn, now=now, ahead=services.clock.ahead, on_time=on_time)
        if row is None:
            return False
        assert row.round is not None
        signature = None
        if row.public_key == services.beacon.chain.public_key:
            signature = await services.beacon.signature(row.round, at=now)
        else:
            log.error("the beacon is not the one that the list was frozen for", draw=row.draw_id)
        if signature is None:
            await _wait(conn, row, now)
        else:
            await _draw(conn, row, signature, now)
    return True


async def _draw(conn: AsyncConnection, row: DrawRow, signature: str, now: datetime) -> None:
    assert row.root is not None
    numbers = [entry.number for entry in await store.read_list(conn, row.key)]
    winners = winners_of(row.root, signature, numbers, row.prizes)
    await store.draw(conn, row.key, winners, signature=signature, at=now)
    await give_back_unwon(conn, row, winners=len(winners), now=now)
    log.info("draw drawn", program=row.program_id, draw=row.draw_id, round=row.round, winners=len(winners))


async def _wait(conn: AsyncConnection, row: DrawRow, now: datetime) -> None:
    """Ask again later, or give up."""
    assert row.round_at is not None
    event_log = log.bind(program=row.program_id, draw=row.draw_id, round=row.round)
    end = row.round_at + GIVE_UP
    if now >= end:
        await store.void(conn, row.key, at=now)
        await give_back_unwon(conn, row, winners=0, now=now)
        event_log.error("draw void: its round has not come")
        return
    pause = min(FIRST_RETRY * 2 ** min(row.asked, 16), LAST_RETRY)
    await store.postpone(conn, row.key, until=min(now + pause, end))
    event_log.warning("the beacon is late", asked=row.asked + 1)
