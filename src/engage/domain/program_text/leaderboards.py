"""The table of leaderboards."""

from engage.domain.document.texts import text_in
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description, SectionTable

HEADERS = ("leaderboard", "title", "score", "resets", "prizes")


def describe(program: Program) -> Description:
    if not program.leaderboards:
        return Description()
    return Description([], SectionTable(HEADERS, [_row(board) for board in program.leaderboards], 4))


def _row(board: Leaderboard) -> tuple[str, ...]:
    prizes = ", ".join(f"to rank {prize.to_rank:,}: {prize.points:,}" for prize in board.prizes)
    return (board.id, text_in(board.title, "en"), board.score, board.resets or "never", prizes or "-")
