"""The state of an issued coupon or F-code."""

from datetime import datetime


def state_at(state: str, expires_at: datetime | None, at: datetime) -> str:
    """The state at a time. `issued` is `expired` after the end, even if the sweep has not written that yet.
    An `applied` coupon does not expire, as held points do not.
    """
    ended = state == "issued" and expires_at is not None and expires_at <= at
    return "expired" if ended else state
