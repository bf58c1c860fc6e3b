"""The table of leaderboards."""

from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.program.program import Program
from engage.messages.program_text.description import Description, SectionTable
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    if not program.leaderboards:
        return Description()
    headers = words.headers("leaderboard", "title", "score", "resets", "prizes")
    rows = [_row(board, words) for board in program.leaderboards]
    return Description([], SectionTable(headers, rows, 4))


def _row(board: Leaderboard, words: Wording) -> tuple[str, ...]:
    prizes = ", ".join(
        words.text("leaderboard.prize", rank=prize.to_rank, points=prize.points) for prize in board.prizes
    )
    resets = words.text(f"resets.{board.resets or 'never'}")
    return (board.id, words.title(board.title), board.score, resets, prizes or "-")
