"""The section `protection` of a document: velocity rules."""

from datetime import timedelta
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, field

from engage.domain.document.fields import DocumentStruct, RuleId
from engage.domain.identity import Origin

Per = Literal["device", "network"]
Counts = Literal["members", "activities"]
VelocityWindow = Literal["day", "week", "month"]

# The activities that members do themselves, in the app: only these come from a device.
AppActivity = Literal["fuel_tap", "share", "review", "visit", "quiz_attempt", "game_play"]
APP_ACTIVITIES: Final[tuple[AppActivity, ...]] = get_args(AppActivity)

# Places of a window: each is a row.
MOST_PLACES: Final = 10_000


class VelocityRule(DocumentStruct, frozen=True, kw_only=True):
    """At most so many members, or activities, on one device or network in a calendar window of the member's
    zone. The points of all others are due later by `hold`, and an operator may review them before.

    `on` are the activities that count, all of them where it is empty. `attested`: only devices that the
    identity provider attests (true), only others (false), or all.
    """

    id: RuleId
    per: Per
    counts: Counts
    at_most: Annotated[int, Meta(ge=1, le=MOST_PLACES)]
    per_window: VelocityWindow
    hold: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as P3D")]
    on: Annotated[list[AppActivity], Meta(max_length=len(APP_ACTIVITIES))] = field(default_factory=list)
    attested: bool | None = None

    def source(self, origin: Origin) -> bytes:
        """The device or the network that the rule counts on; empty where it does not concern the origin."""
        if self.attested is not None and self.attested != origin.attested:
            return b""
        return origin.device if self.per == "device" else origin.network


class Protection(DocumentStruct, frozen=True, kw_only=True):
    velocity: Annotated[list[VelocityRule], Meta(min_length=1, max_length=20)]
