"""The table of games: a line for each prize."""

from engage.domain.document.texts import text_in
from engage.domain.games.definition import Game, Prize
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description, SectionTable

HEADERS = ("game", "chances", "prize", "odds", "stock", "a day", "gives")


def describe(program: Program) -> Description:
    if not program.games:
        return Description()
    rows = [_row(game, prize) for game in program.games for prize in game.prizes]
    return Description([], SectionTable(HEADERS, rows, 4))


def _row(game: Game, prize: Prize) -> tuple[str, ...]:
    chances = game.chances
    window = "" if chances.window == "ever" else f" a {chances.window}"
    return (
        game.id,
        f"{chances.count:,}{window}" + (", one more" if chances.extra_after is not None else ""),
        text_in(prize.title, "en"),
        prize.odds,
        f"{prize.stock:,}",
        "-" if prize.per_day is None else f"{prize.per_day:,}",
        f"the reward {prize.reward}"
        if prize.reward is not None
        else "1 point"
        if prize.points == 1
        else f"{prize.points or 0:,} points",
    )
