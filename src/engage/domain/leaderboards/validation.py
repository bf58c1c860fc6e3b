"""Validation of leaderboards."""

from collections.abc import Iterator

from engage.domain.document.errors import Problem, nearest, shown
from engage.domain.earning.on import On
from engage.domain.feature.section import Context
from engage.domain.leaderboards.definition import POINTS_EARNED, Leaderboard

# Where the ids of what is scored stand in a document.
_SECTIONS = {"quiz": "quizzes", "challenge": "challenges"}

_NO_ACTIVITY = On(activity="fuel_tap")


def problems(board: Leaderboard, path: str, context: Context) -> Iterator[Problem]:
    yield from board.schedule_problems(path)
    yield from board.due.problems(_NO_ACTIVITY, path)
    for n, (earlier, later) in enumerate(zip(board.prizes, board.prizes[1:], strict=False), start=1):
        if later.to_rank <= earlier.to_rank:
            expected = f"a rank after {earlier.to_rank}"
            yield Problem(f"{path}.prizes[{n}].to_rank", expected, str(later.to_rank))
    if board.prizes and board.until is None and board.resets is None:
        yield Problem(f"{path}.prizes", "until or resets: prizes are paid at an end", "neither")
    if board.score != POINTS_EARNED:
        kind, _, id_ = board.score.partition(":")
        known = context.ids.get(_SECTIONS[kind], ())
        # Operators may add the board and what it scores in any order, so an unknown one is no problem there.
        if path != "$" and id_ not in known:
            yield Problem(f"{path}.score", f"the id of a {kind}", shown(id_) + nearest(id_, known))
