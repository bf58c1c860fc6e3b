"""Play a game: the number of the play draws its prize. Requests of many callers share a transaction.

A member's plays are counted while their balance is locked. Plays are numbered while the run's row is locked,
from there to the commit. So a run takes as many plays a second as fit into its batches.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.calendar import local_date
from engage.domain.games.kind import GAME
from engage.domain.games.outcome import draw
from engage.domain.keys import MemberKey
from engage.domain.refusals import AccountClosed, Code, Refusal
from engage.flows.games.player import GamePlayed, Numbered, Player, PlayRequest, Try
from engage.flows.games.prizes import decide_prizes
from engage.flows.games.reserve import give_back_unwon, reserve_largest
from engage.flows.games.runs import CurrentRun, current_runs
from engage.flows.rewards.give import Recipient
from engage.ledger.accounts import lock_open_balances
from engage.runtime.batch import decide_each, in_parts, not_refused, refused
from engage.runtime.idempotency import claim_each, keep_each
from engage.runtime.ids import new_id
from engage.runtime.offered import campaigns_offering
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.runtime.velocity import Observed, suspicions_of
from engage.store.games.plays import NOTHING_YET, PlayerKey, PlayerSoFar, read_so_far
from engage.store.games.runs import lock_runs
from engage.store.members.members import Member

PLAYER_BYTES = 16


async def play(services: Services, requests: Sequence[PlayRequest]) -> list[GamePlayed | Refusal]:
    """Play once for each request; return the plays in order.

    Refusals: unknown_member, not_offered, not_found, no_chances_left, request_in_flight, too_many_points,
    budget_exhausted. Raises Unavailable.
    """
    try:
        return await in_parts(requests, partial(_play, services))
    except AccountClosed:
        # A member of the batch was just merged or erased, so nobody has played.
        await services.members.refresh(services.db)
        return await in_parts(requests, partial(_play, services))


async def _play(services: Services, requests: Sequence[PlayRequest]) -> list[GamePlayed | Refusal]:
    now = services.clock.now()
    members = await services.members.find(services.db, [(r.program_id, r.member_id) for r in requests])
    campaigns = await campaigns_offering(services, services.db, GAME, members.values(), at=now)
    players = decide_each(
        requests,
        lambda r: _player(services, members.get((r.program_id, r.member_id)), r, campaigns, now=now),
    )
    players = await _look_for_farming(services, players, now=now)
    async with open_posting(services, cause="pending") as posting:
        players = await claim_each(posting.conn, players, lambda player: player.request.keyed)
        players, reserved = await reserve_largest(services, posting.conn, players, now=now)
        if not (valid := not_refused(players)):
            return [*refused(players)]
        await lock_open_balances(posting.conn, [player.recipient.member.key for player in valid])
        runs = await current_runs(
            services, posting.conn, {player.game_key: player.version for player in valid}, now=now
        )
        tries = decide_each(players, lambda player: _try(player, runs.get(player.game_key), now))
        so_far = await _read_so_far(posting.conn, not_refused(tries))
        tries = decide_each(tries, lambda attempt: _check_chance(attempt, so_far, now))
        numbered = await _number(posting.conn, tries, so_far, now)
        answers = await decide_prizes(services, posting, numbered, now=now)
        await give_back_unwon(posting.conn, players, reserved, answers, now=now)
        under_keys = [request.keyed for request in requests]
        await keep_each(posting.conn, zip(under_keys, answers, strict=True))
    return answers


def _player(
    services: Services,
    member: Member | None,
    request: PlayRequest,
    campaigns: Mapping[MemberKey, frozenset[str]],
    *,
    now: datetime,
) -> Player:
    """Raises Refusal unknown_member, not_offered, not_found."""
    if member is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    own = campaigns.get(member.key, ())
    version = services.definitions.find(GAME, request.game_id, at=now, member=member, campaigns=own)
    return Player(Recipient(member, program, market), version, request)


async def _look_for_farming(
    services: Services, players: Sequence[Player | Refusal], *, now: datetime
) -> list[Player | Refusal]:
    """The players, each with what is suspicious about the play. Each request is an activity of its own.

    Raises Unavailable.
    """
    observed = [
        Observed(
            program=player.recipient.program,
            member_id=player.recipient.member.member_id,
            origin=player.request.origin,
            name="game_play",
            activity=f"game:{new_id()}",
            at=now,
            zone=player.zone,
        )
        for player in not_refused(players)
    ]
    found = iter(await suspicions_of(services, observed))
    return decide_each(players, lambda player: replace(player, suspicion=next(found)))


def _try(player: Player, current: CurrentRun | None, now: datetime) -> Try:
    """Raises Refusal not_found."""
    if current is None or not current.is_open(now, player.zone):
        raise Refusal(Code.NOT_FOUND)
    return Try(player, current, local_date(now, player.zone))


async def _read_so_far(conn: AsyncConnection, tries: Sequence[Try]) -> dict[PlayerKey, PlayerSoFar]:
    queries = {attempt.key: attempt.windows for attempt in tries}
    found = await read_so_far(conn, queries) if queries else {}
    return {key: found.get(key, NOTHING_YET) for key in queries}


def _check_chance(attempt: Try, so_far: dict[PlayerKey, PlayerSoFar], now: datetime) -> Try:
    """Raises Refusal no_chances_left."""
    left = attempt.left(so_far[attempt.key], now)
    if left.left == 0:
        raise Refusal(Code.NO_CHANCES_LEFT, resets_at=left.resets_at, zone=attempt.player.zone)
    return attempt


async def _number(
    conn: AsyncConnection,
    tries: Sequence[Try | Refusal],
    so_far: dict[PlayerKey, PlayerSoFar],
    now: datetime,
) -> list[Numbered | Refusal]:
    """Lock the runs and number the plays, as far as there are chances for those of one member."""
    wanted = {attempt.current.run.key for attempt in not_refused(tries)}
    runs = await lock_runs(conn, wanted) if wanted else {}
    numbers = {key: locked.run.plays for key, locked in runs.items()}

    def number(attempt: Try) -> Numbered:
        """Raises Refusal not_found, no_chances_left."""
        locked = runs[attempt.current.run.key]
        if locked.run.revealed_at is not None:
            raise Refusal(Code.NOT_FOUND)
        _check_chance(attempt, so_far, now)
        before = so_far[attempt.key]
        numbers[locked.run.key] += 1
        player = before.player or secrets.token_hex(PLAYER_BYTES)
        after = PlayerSoFar(before.played + 1, now, before.won, player)
        so_far[attempt.key] = after
        return Numbered(
            attempt,
            locked,
            number=numbers[locked.run.key],
            prize=draw(attempt.current.game, locked.seed, numbers[locked.run.key]),
            player=player,
            won_before=before.won,
            left=attempt.left(after, now),
        )

    return decide_each(tries, number)
