"""The tasks of games: those that are open, and the chances left."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import Struct

from engage.domain.calendar import local_date
from engage.domain.games.definition import Game
from engage.domain.games.kind import GAME
from engage.domain.refusals import Code, Refusal
from engage.domain.tasks import Task, refused
from engage.flows.games.player import left_of, windows_of
from engage.flows.games.runs import open_game
from engage.runtime.definition_cache import Versioned
from engage.runtime.tasks import TaskContext, TaskSource
from engage.store.games.plays import NOTHING_YET, Days, PlayerSoFar
from engage.store.games.runs import Run, latest_run_sql

# The newest run of each of the games `:task_games`, unless it has ended and the game is not one of
# `:task_games_ahead` either, with what the member has played and won in it on each day. The windows of
# chances are those of the run, so they are not known before it is read.
_RUNS = f"""(
    SELECT json_agg(json_build_array(row_to_json(r), (
        SELECT json_agg(json_build_array(d.day, d.played, d.last_play, d.won)) FROM (
            SELECT p.day, count(*) AS played, max(p.at) AS last_play, count(p.prize) AS won
            FROM game_plays p
            WHERE p.program_id = b.program_id AND p.member_id = b.member_id AND p.game_id = r.game_id
              AND p.run = r.run
            GROUP BY p.day
        ) d
    )))
    FROM unnest(CAST(:task_games AS text[])) AS k (game_id)
    CROSS JOIN LATERAL ({latest_run_sql("b.program_id", "k.game_id")}) r
    WHERE r.ends_at > :now OR k.game_id = ANY(CAST(:task_games_ahead AS text[]))
)"""  # noqa: S608  # Names of the schema.


class _Day(Struct, frozen=True, array_like=True):
    """The plays and wins of a member in a run on a day."""

    day: date
    played: int
    last_play: datetime
    won: int


class _Found(Struct, frozen=True, array_like=True):
    run: Run
    days: list[_Day] | None


def _games(context: TaskContext) -> list[Versioned[Game]]:
    return context.services.definitions.in_force(
        GAME, context.program.id, at=context.now, country=context.country, campaigns=context.campaign_ids
    )


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    found = {each.run.game_id: each for each in msgspec.convert(value or [], list[_Found])}
    tasks = [_task(context, version, found.get(version.id)) for version in _games(context)]
    return [task for task in tasks if task is not None]


def _task(context: TaskContext, version: Versioned[Game], found: _Found | None) -> Task | None:
    """`points` are those of the best prize that the member can win; None where all are rewards."""
    zone, now = context.market.zone, context.now
    key = (context.program.id, version.id)
    playing = open_game(
        context.services, key, version, None if found is None else found.run, now=now, zone=zone
    )
    if playing is None:
        return None
    game, so_far = playing.game, NOTHING_YET
    if found is not None and playing.run is not None:
        so_far = _so_far(found.days or [], *windows_of(game, local_date(now, zone)))
    left = left_of(game, so_far, now, zone)
    no_chances = Refusal(Code.NO_CHANCES_LEFT, resets_at=left.resets_at)
    return Task(
        rule=GAME.rule_id(game.id),
        title=game.title,
        points=_most_points(game, so_far.won),
        activity=GAME.name,
        state="open" if left.left else "done",
        remaining=left.left,
        resets_at=left.resets_at,
        why_not=None if left.left else refused(no_chances),
    )


def _so_far(days: Sequence[_Day], chances: Days, wins: Days) -> PlayerSoFar:
    within = [each for each in days if chances[0] <= each.day <= chances[1]]
    return PlayerSoFar(
        played=sum(each.played for each in within),
        last_play=max((each.last_play for each in within), default=None),
        won=sum(each.won for each in days if wins[0] <= each.day <= wins[1]),
        player=None,
    )


def _most_points(game: Game, won: int) -> int | None:
    limit = game.wins_per_member
    if limit is not None and won >= limit.count:
        return 0  # The member may play, and wins nothing.
    return max((prize.points for prize in game.prizes if prize.points is not None), default=None)


def _parameters(context: TaskContext) -> dict[str, object]:
    games = [version.definition for version in _games(context)]
    if not games:
        return {}
    ahead = [game.id for game in games if context.now < game.until_in(context.market.zone)]
    return {"task_games": [game.id for game in games], "task_games_ahead": ahead}


TASKS = TaskSource(
    select=lambda context: _RUNS if _games(context) else "NULL", parameters=_parameters, view=_tasks
)
