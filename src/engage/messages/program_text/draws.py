"""The table of draws."""

from engage.domain.draws.definition import Conditions, Draw
from engage.domain.program.program import Program
from engage.messages.program_text.description import Description, SectionTable
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    if not program.draws:
        return Description()
    headers = words.headers("draw", "title", "opens", "closes", "winners", "points", "needs")
    return Description([], SectionTable(headers, [_row(draw, words) for draw in program.draws], 5))


def _row(draw: Draw, words: Wording) -> tuple[str, ...]:
    return (
        draw.id,
        words.title(draw.title),
        words.local(draw.opens_at),
        words.local(draw.closes_at),
        words.number(draw.winners),
        words.number(draw.points),
        "-" if draw.conditions is None else _needs(draw.conditions, words),
    )


def _needs(conditions: Conditions, words: Wording) -> str:
    parts = [words.text("draw.public_post") if conditions.public else words.text("draw.post")]
    if conditions.hashtag is not None:
        parts.append(conditions.hashtag)
    if conditions.mentions is not None:
        parts.append(words.text("draw.mentions", counted="n", n=conditions.mentions))
    return ", ".join(parts)
