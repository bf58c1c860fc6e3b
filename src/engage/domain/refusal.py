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
