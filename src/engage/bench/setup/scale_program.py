"""A copy of the program of the benchmarks that takes points at checkout and has a quiz."""

from typing import Final

import msgspec

from engage.bench.setup.constants import PRESET
from engage.domain.program.program import Program
from engage.domain.quizzes.kind import QUIZ as QUIZZES
from engage.flows.definitions.change import add_definition
from engage.flows.programs.publish import publish
from engage.programs import text
from engage.runtime.services import Services

SCALE: Final = "scale"
QUIZ: Final = "quiz"
RIGHT: Final = {"q1": ["yes"]}

_CHECKOUT: Final = """
[checkout]
min_balance = 1
max_percent = 100
shipping = true
hold_for = "PT30M"
"""

_QUESTION: Final = {
    "id": "q1",
    "kind": "one",
    "text": {"en": "Yes?"},
    "options": [{"id": "yes", "text": {"en": "Yes"}}, {"id": "no", "text": {"en": "No"}}],
    "right": ["yes"],
}
_QUIZ: Final = {
    "id": QUIZ,
    "program": SCALE,
    "title": {"en": "Quiz"},
    "attempts": {"count": 1, "window": "day"},
    "time_limit": "PT2M",
    "points_per_right": 5,
    "questions": [_QUESTION],
}


async def publish_scale(services: Services) -> Program:
    """Publish the program and its quiz."""
    document = (
        text(PRESET).partition("\n[[examples]]")[0].replace('id = "eu-mi-points"', f'id = "{SCALE}"', 1)
    )
    program, _ = await publish(
        services.db, document + _CHECKOUT, source=SCALE, operator="bench", clock=services.clock
    )
    await services.programs.refresh(services.db)
    await add_definition(services, QUIZZES, msgspec.convert(_QUIZ, QUIZZES.struct), operator="bench")
    return program
