"""The table of draws."""

from engage.domain.document.texts import text_in
from engage.domain.draws.definition import Conditions, Draw
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description, SectionTable

HEADERS = ("draw", "title", "opens", "closes", "winners", "points", "needs")


def describe(program: Program) -> Description:
    if not program.draws:
        return Description()
    return Description([], SectionTable(HEADERS, [_row(draw) for draw in program.draws], 5))


def _row(draw: Draw) -> tuple[str, ...]:
    return (
        draw.id,
        text_in(draw.title, "en"),
        draw.opens_at.isoformat(" ", "minutes"),
        draw.closes_at.isoformat(" ", "minutes"),
        f"{draw.winners:,}",
        f"{draw.points:,}",
        "-" if draw.conditions is None else _needs(draw.conditions),
    )


def _needs(conditions: Conditions) -> str:
    words = ["a public post" if conditions.public else "a post"]
    if conditions.hashtag is not None:
        words.append(conditions.hashtag)
    if conditions.mentions is not None:
        words.append("a mention" if conditions.mentions == 1 else f"{conditions.mentions} mentions")
    return ", ".join(words)
