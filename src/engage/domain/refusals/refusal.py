"""The exception that carries a refusal. Anything else that is raised is a bug."""

from datetime import datetime
from typing import Any

from engage.domain.refusals.codes import Code

FactValue = str | int | datetime | list[Any] | None


class Refusal(Exception):
    """An expected "no". A batch returns it in place of one request's result and goes on with the others."""

    def __init__(self, code: Code, **facts: FactValue) -> None:
        """`facts` are named in the catalogue; some may be missing. Datetimes have a zone."""
        for name, value in facts.items():
            assert name in code.facts, f"{code} has no fact {name}"
            assert code.facts[name].accepts(value), f"{code}: {name} is {value!r}"
        super().__init__(code)
        self.code = code
        self.facts: dict[str, Any] = facts
        self.reason = ""  # Why, for the log alone: it is never answered, and holds nothing of a credential.

    @property
    def status(self) -> int:
        return self.code.status


class Unavailable(Refusal):
    """A service that the answer depends on cannot be reached. Nothing was decided; the caller may retry."""

    def __init__(self, part: str) -> None:
        super().__init__(Code.UNAVAILABLE, part=part, retry_after_s=1)


class AccountFull(Refusal):
    """The account of a member would have more points than any account can have."""

    def __init__(self, limit: int) -> None:
        super().__init__(Code.TOO_MANY_POINTS, limit=limit)


class AccountClosed(Unavailable):
    """The member was just merged or erased, and this process did not know it yet."""

    def __init__(self) -> None:
        super().__init__("member")
