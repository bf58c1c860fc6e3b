"""Requests that members, the shop and operators can make, and the ways in which a client sends one."""

from random import Random
from typing import Any, Final, Literal

from msgspec import Struct

PROGRAM: Final = "torture"

Caller = Literal["member", "shop", "admin", "approver", "anyone"]


class Action(Struct, frozen=True, kw_only=True):
    """A request. `operation`: its id in the OpenAPI."""

    operation: str
    method: str
    path: str
    body: Any = None
    caller: Caller = "member"
    needs_key: bool = False
    headers: dict[str, str] = {}
    limit_s: float = 10.0

    @property
    def takes_key(self) -> bool:
        """The shop's and members' POST requests honour an Idempotency-Key; those of operators do too."""
        return self.method == "POST" and self.caller != "anyone"


class Delivery(Struct, frozen=True):
    """A way to send a request: with a key, twice at once, once more later. A patient client sends a lost
    request again, with the same key; an impatient one gives it up.
    """

    with_key: bool
    at_once: bool
    again_later: bool
    is_patient: bool


def draw_delivery(action: Action, rng: Random) -> Delivery:
    """Most clients are good ones: with a key, and patient."""
    if action.method == "GET":
        return Delivery(with_key=False, at_once=False, again_later=False, is_patient=False)
    with_key = action.takes_key and (action.needs_key or rng.random() < 0.6)
    return Delivery(
        with_key=with_key,
        at_once=rng.random() < 0.2,
        again_later=rng.random() < 0.15,
        # Without a key, sending a lost request again would be another action.
        is_patient=rng.random() < 0.85 and (with_key or action.operation in HARMLESS),
    )


# A repeat of these is recognised without a key: by the day, the product, the order, the event.
HARMLESS: Final = {
    "recordFuelTap",
    "recordReview",
    "recordShare",
    "sendEvents",
    "captureHold",
    "releaseHold",
    "adjustPoints",
    "createReferral",
    "answerQuiz",
    "mergeMembers",
    "eraseMember",
}
