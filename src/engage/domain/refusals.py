"""The expected no. A refusal has a stable code, a status and facts that are safe to show.

Everything that a caller can do wrong, or too late, or too often, ends as a Refusal. The API turns
it into a problem document in one place (`engage.api.problems`); anything else that is raised is a bug.
"""

from typing import Any


class Refusal(Exception):
    """Raised, or kept in a batch's answer where the others of the batch go on.

    `facts` are members of the problem document (`resets_at`, `reasons` …): JSON values, or
    datetimes with a zone.
    """

    def __init__(self, code: str, *, status: int, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.facts = facts


class Unavailable(Refusal):
    """A part that the answer depends on is away. Nothing was decided; the caller asks again."""

    def __init__(self, part: str) -> None:
        super().__init__("unavailable", status=503, part=part, retry_after_s=1)


class AccountClosed(Unavailable):
    """The member was merged or erased a moment ago, and this process did not know it yet."""

    def __init__(self) -> None:
        super().__init__("member")


def not_offered() -> Refusal:
    """No version of the program in force offers this to the member."""
    return Refusal("not_offered", status=404)


def insufficient_points(*, active: int, points: int) -> Refusal:
    """`points` were asked for, and only `active` can be spent."""
    return Refusal("insufficient_points", status=409, active=active, points=points)


def below_minimum(*, active: int, minimum: int) -> Refusal:
    """The balance is smaller than the program wants it to be before any of it is spent."""
    return Refusal("below_minimum", status=409, active=active, minimum=minimum)
