"""The baseline of `quiz`: two Litestar handlers that return what a quiz returns, and do nothing."""

from uuid import UUID

from litestar import post
from msgspec import Struct

from engage.bench.baselines.litestar_server import run


class Question(Struct, frozen=True):
    id: str
    kind: str
    text: str
    options: list[dict[str, str]]


class Attempt(Struct, frozen=True):
    attempt_id: UUID
    questions: list[Question]
    expires_at: str


class Grade(Struct, frozen=True):
    correct: int
    total: int
    passed: bool
    credits: list[dict[str, str]]
    review: list[dict[str, str]]


OPTION = {"id": "francs_100", "text": "100 francs CFA"}
ATTEMPT = Attempt(
    UUID(int=0),
    [Question("worth", "one", "What is a Mi Point worth?", [OPTION] * 3)] * 3,
    "2024-03-10T20:02:00Z",
)
GRADE = Grade(3, 3, True, [OPTION], [OPTION] * 3)


@post("/v1/quizzes/{quiz_id:str}/attempts", status_code=201)
async def start(quiz_id: str) -> Attempt:
    """Return the same paper always."""
    return ATTEMPT


@post("/v1/quizzes/{quiz_id:str}/attempts/{attempt_id:uuid}/answers", status_code=202)
async def answer(quiz_id: str, attempt_id: UUID) -> Grade:
    """Return the same grade always."""
    return GRADE


if __name__ == "__main__":
    run([start, answer])
