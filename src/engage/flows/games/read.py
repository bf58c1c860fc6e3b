"""Games on screens: those that a member can play, and the commitment of each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from engage.domain.calendar import local_date
from engage.domain.document.texts import text_in
from engage.domain.games.kind import GAME
from engage.domain.market import Market
from engage.domain.refusals import Code, Refusal
from engage.flows.games.player import left_of, windows_of
from engage.flows.games.runs import CurrentRun, current_runs
from engage.runtime.database import transaction
from engage.runtime.offered import campaigns_offering
from engage.runtime.services import Services
from engage.store.games.plays import NOTHING_YET, PlayerSoFar, read_so_far


class PrizeView(Struct, frozen=True):
    """A prize: `points`, or the id of a reward. `stock` is how many there were at the beginning."""

    id: str
    title: str
    odds: str
    stock: int
    per_day: int | None
    points: int | None
    reward: str | None


class GameView(Struct, frozen=True):
    """A game. `commitment` is the digest of its seed and its terms, and stands since `committed_at`."""

    id: str
    title: str
    state: Literal["announced", "open", "ended"]
    opens_at: datetime
    closes_at: datetime
    chances_left: int
    resets_at: datetime | None
    prizes: list[PrizeView]
    commitment: str
    committed_at: datetime


async def list_games(services: Services, program_id: str, member_id: str, language: str) -> list[GameView]:
    """List the games that are open for a member.

    Raises Refusal unknown_member; Unavailable.
    """
    found = await _read(services, program_id, member_id, language, game_id=None)
    return [view for view in found if view.state == "open"]


async def read_game(
    services: Services, program_id: str, member_id: str, game_id: str, language: str
) -> GameView:
    """Read a game, before, while and after it is open.

    Raises Refusal unknown_member, not_found; Unavailable.
    """
    for view in await _read(services, program_id, member_id, language, game_id=game_id):
        return view
    raise Refusal(Code.NOT_FOUND)


async def _read(
    services: Services, program_id: str, member_id: str, language: str, *, game_id: str | None
) -> Sequence[GameView]:
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    _, market = services.programs.in_force(program_id, at=now, country=member.country)
    campaigns = await campaigns_offering(services, services.db, GAME, [member], at=now)
    wanted = {
        (program_id, version.id): version
        for version in services.definitions.in_force(
            GAME, program_id, at=now, country=member.country, campaigns=campaigns.get(member.key, ())
        )
        if game_id is None or version.id == game_id
    }
    if not wanted:
        return []
    day = local_date(now, market.zone)
    async with transaction(services.db) as conn:
        runs = await current_runs(services, conn, wanted, now=now)
        keys = {key: (*member.key, *current.run.key[1:]) for key, current in runs.items()}
        queries = {keys[key]: windows_of(current.game, day) for key, current in runs.items()}
        so_far = await read_so_far(conn, queries)
    return [
        _view(runs[key], so_far.get(keys[key], NOTHING_YET), market, language, now)
        for key in wanted
        if key in runs
    ]


def _view(current: CurrentRun, so_far: PlayerSoFar, market: Market, language: str, now: datetime) -> GameView:
    game, run, zone = current.game, current.run, market.zone
    state: Literal["announced", "open", "ended"] = "ended"
    if current.is_open(now, zone):
        state = "open"
    elif now < game.begins_at(zone):
        state = "announced"
    left = left_of(game, so_far, now, zone)
    return GameView(
        id=game.id,
        title=text_in(game.title, language),
        state=state,
        opens_at=game.begins_at(zone),
        closes_at=game.until_in(zone),
        chances_left=left.left,
        resets_at=left.resets_at,
        prizes=[
            PrizeView(
                prize.id,
                text_in(prize.title, language),
                prize.odds,
                prize.stock,
                prize.per_day,
                prize.points,
                prize.reward,
            )
            for prize in game.prizes
        ],
        commitment=run.commitment,
        committed_at=run.committed_at,
    )
