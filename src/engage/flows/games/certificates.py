"""Reveal runs that have ended: the seed, and the certificate from which everyone can compute the outcomes.

A certificate is made once and kept. Nobody can play from then on, so the list of plays is whole.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from msgspec import Raw
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.fairness.canonical import canonical
from engage.domain.games.certificate import ALGORITHM, Merger, play_of
from engage.domain.games.outcome import Outcome
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.games import runs as store
from engage.store.games.plays import ListedPlay, list_mergers, list_plays
from engage.store.games.runs import LockedRun

PLAYS_PER_PAGE = 5_000

_NO_PLAYS = b'"plays":[]'


async def reveal_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Reveal all runs that have ended by `now`; how many. Raises Unavailable."""
    revealed = 0
    while True:
        async with transaction(services.db) as conn:
            ended = await store.lock_ended(conn, now=now, ahead=services.clock.ahead, on_time=on_time)
            if ended is None:
                return revealed
            body = await _certificate(conn, ended)
            await store.reveal(conn, ended.run.key, body, at=ended.run.ends_at if on_time else now)
        revealed += 1


async def read_certificate(services: Services, program_id: str, game_id: str) -> bytes:
    """Read the certificate of a game's newest run that has ended.

    Raises Refusal not_found; Unavailable.
    """
    now = services.clock.now()
    async with one_statement(services.db) as conn:
        run = (await store.read_latest(conn, [(program_id, game_id)])).get((program_id, game_id))
    if run is not None and run.ends_at <= now and run.revealed_at is None:
        await reveal_due(services, now=now)
    async with one_statement(services.db) as conn:
        body = await store.read_certificate(conn, (program_id, game_id))
    if body is None:
        raise Refusal(Code.NOT_FOUND)
    return body


async def _certificate(conn: AsyncConnection, ended: LockedRun) -> bytes:
    """Write the certificate's canonical text, and its digest behind it. Plays are not held as objects."""
    run = ended.run
    mergers = [
        Merger(player=player, into=into, after=after)
        for player, into, after in await list_mergers(conn, run.key)
    ]
    frame = canonical(
        {
            "algorithm": ALGORITHM,
            "game_id": run.game_id,
            "commitment": run.commitment,
            "committed_at": run.committed_at,
            "seed": ended.seed.hex(),
            "terms": Raw(run.terms.encode()),
            "plays": [],
            "mergers": mergers,
            "head": run.head,
        }
    )
    texts: list[bytes] = []
    number = 0
    while page := await list_plays(conn, run.key, after=number, limit=PLAYS_PER_PAGE):
        texts.append(await asyncio.to_thread(_texts, page))
        number = page[-1].number
    assert number == run.plays, "plays are numbered without gaps"
    before, after = frame.split(_NO_PLAYS)
    body = before + b'"plays":[' + b",".join(texts) + b"]" + after
    digest = (await asyncio.to_thread(sha256, body)).hexdigest()
    return body[:-1] + f',"digest":"{digest}"}}'.encode()


def _texts(plays: Sequence[ListedPlay]) -> bytes:
    return b",".join(
        canonical(play_of(p.number, p.day, p.player, Outcome(p.drawn, p.prize, p.cut))) for p in plays
    )
