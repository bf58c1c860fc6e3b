"""Runs of games: a seed is drawn and committed before the game opens, and its terms stay from then on.

A run has begun when its window is open somewhere. What operators change before that is committed again;
what they change later begins with the next run, after the end of this one.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.definitions.definition import first_instant, last_instant
from engage.domain.fairness.canonical import canonical
from engage.domain.games.certificate import SEED_BYTES, Terms, commitment
from engage.domain.games.definition import Game
from engage.domain.games.kind import GAME
from engage.runtime.database import transaction
from engage.runtime.definition_cache import Versioned, version_number
from engage.runtime.services import Services
from engage.store.games import runs as store
from engage.store.games.runs import GameKey, Run


class CurrentRun(Struct, frozen=True):
    """A run with the game by whose terms it is played."""

    run: Run
    game: Game

    def is_open(self, at: datetime, zone: str) -> bool:
        """Tell whether a member of a zone can play."""
        open_somewhere = self.run.opens_at <= at < self.run.ends_at and self.run.revealed_at is None
        return open_somewhere and self.game.is_open(at, zone)


async def current_runs(
    services: Services, conn: AsyncConnection, wanted: Mapping[GameKey, Versioned[Game]], *, now: datetime
) -> dict[GameKey, CurrentRun]:
    """Return the run of each game that goes on, comes next or was the last. A missing one is committed."""
    found = await store.read_latest(conn, wanted)
    for key in sorted(wanted):
        terms = _terms(services, key, wanted[key])
        if _needs_commitment(found.get(key), terms, now):
            found[key] = await _commit(conn, key, terms, now=now)
    return {key: CurrentRun(run, game_of(run)) for key, run in found.items()}


async def commit_games(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Commit the runs of all games that are defined; how many there are. Raises Unavailable."""
    wanted = {
        (program_id, version.id): version
        for program_id in services.programs.ids()
        for version in services.definitions.of_program(GAME, program_id, at=now)
    }
    if wanted:
        async with transaction(services.db) as conn:
            await current_runs(services, conn, wanted, now=now)
    return 0


class OpenGame(Struct, frozen=True):
    """A game that a member can play. `run` is None where the first play commits one."""

    game: Game
    run: Run | None


def open_game(
    services: Services,
    key: GameKey,
    version: Versioned[Game],
    latest: Run | None,
    *,
    now: datetime,
    zone: str,
) -> OpenGame | None:
    """The game that a member of a zone plays now, where `latest` is its newest run; None if it is not
    open."""
    terms = _terms(services, key, version)
    if _needs_commitment(latest, terms, now):
        is_open = terms.opens_at <= now < terms.ends_at and terms.game.is_open(now, zone)
        return OpenGame(terms.game, None) if is_open else None
    if latest is None:
        return None
    current = CurrentRun(latest, game_of(latest))
    return OpenGame(current.game, latest) if current.is_open(now, zone) else None


def game_of(run: Run) -> Game:
    return _game(run.terms)


@lru_cache(maxsize=256)
def _game(terms: str) -> Game:
    return msgspec.json.decode(terms, type=Terms).game


class _Terms(Struct, frozen=True):
    """The terms of a definition, before they are numbered as a run."""

    version: str
    defined_at: datetime
    zones: list[str]
    game: Game
    opens_at: datetime
    ends_at: datetime


def _terms(services: Services, key: GameKey, version: Versioned[Game]) -> _Terms:
    published = services.programs.versions(key[0])
    zones = sorted({market.zone for program in published for market in program.countries.values()})
    game = version.definition
    opens_at, ends_at = first_instant(game.from_, zones), last_instant(game.until, zones)
    return _Terms(version.version, version.since, zones, game, opens_at, ends_at)


def _needs_commitment(run: Run | None, terms: _Terms, now: datetime) -> bool:
    if terms.ends_at <= now:
        return False
    if run is None:
        return True
    # A process may not know the newest definition yet.
    if _order(terms.defined_at, terms.version) <= _order(run.defined_at, run.version):
        return False
    return not run.has_begun(now) or run.ends_at <= min(now, terms.opens_at)


def _order(defined_at: datetime, version: str) -> tuple[datetime, int]:
    """Order versions by their times; those of an operator at one time by their numbers."""
    return defined_at, version_number(version) or 0


async def _commit(conn: AsyncConnection, key: GameKey, terms: _Terms, *, now: datetime) -> Run:
    """Commit the next run of a game, or commit one again that has not begun."""
    await store.lock_game(conn, key)
    latest = (await store.read_latest(conn, [key])).get(key)
    if latest is not None:
        latest = (await store.lock_runs(conn, [latest.key]))[latest.key].run
        if not _needs_commitment(latest, terms, now):
            return latest
    replaced = latest is not None and not latest.has_begun(now)
    number = 1 if latest is None else latest.run + (not replaced)
    committed = canonical(
        Terms(program=key[0], run=number, version=terms.version, zones=terms.zones, game=terms.game)
    )
    seed = secrets.token_bytes(SEED_BYTES)
    published = commitment(seed, msgspec.Raw(committed))
    run = Run(
        program_id=key[0],
        game_id=key[1],
        run=number,
        version=terms.version,
        defined_at=terms.defined_at,
        terms=committed.decode(),
        commitment=published,
        committed_at=now,
        opens_at=terms.opens_at,
        ends_at=terms.ends_at,
        head=published,
    )
    if replaced:
        await store.change_run(conn, run, seed)
    else:
        await store.add_run(conn, run, seed)
    return run
