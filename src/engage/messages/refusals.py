"""The texts of refusals."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from engage.domain.refusals import Code
from engage.messages.catalogue import translate

# The fact that selects the plural form of a detail.
COUNTED: Final[Mapping[Code, str]] = {
    Code.BODY_TOO_LARGE: "limit_bytes",
    Code.LIMIT_REACHED: "limit",
    Code.FREEZES_FULL: "limit",
    Code.TOO_MANY_RETURNS: "limit",
    Code.INSUFFICIENT_POINTS: "points",
    Code.BELOW_MINIMUM: "minimum",
    Code.DAILY_POINTS_REACHED: "limit",
    Code.NOT_PAYABLE_WITH_POINTS: "max_points",
    Code.REWARD_LIMIT_REACHED: "limit",
}


# The detail of a limit that never starts again.
FOR_EVER: Final = "limit_for_ever"


class Message(Struct, frozen=True):
    """A title for all refusals of a code, and a detail with the facts of one."""

    title: str
    detail: str


def refusal_message(code: Code, facts: Mapping[str, Any], language: str) -> Message:
    key = f"refusal.{code}.detail"
    if code is Code.LIMIT_REACHED and "limit" in facts and "resets_at" not in facts:
        key = FOR_EVER
    return Message(
        title=translate(f"refusal.{code}.title", language, {}),
        detail=translate(key, language, facts, counted=COUNTED.get(code)),
    )
