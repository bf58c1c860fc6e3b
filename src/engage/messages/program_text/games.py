"""The table of games: a line for each prize."""

from engage.domain.games.definition import Game, Prize
from engage.domain.program.program import Program
from engage.messages.program_text.description import Description, SectionTable
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    if not program.games:
        return Description()
    headers = words.headers("game", "chances", "prize", "odds", "stock", "a_day", "gives")
    rows = [_row(game, prize, words) for game in program.games for prize in game.prizes]
    return Description([], SectionTable(headers, rows, 4))


def _row(game: Game, prize: Prize, words: Wording) -> tuple[str, ...]:
    chances = words.per(game.chances.count, game.chances.window)
    if game.chances.extra_after is not None:
        chances = words.text("games.extra", chances=chances)
    return (
        game.id,
        chances,
        words.title(prize.title),
        prize.odds,
        words.number(prize.stock),
        "-" if prize.per_day is None else words.number(prize.per_day),
        words.points(prize.points or 0)
        if prize.reward is None
        else words.text("games.reward", reward=prize.reward),
    )
