"""An activity of a member as it is sent to be recorded, and the answer to it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import Why
from engage.domain.earning.limits.per_window import LimitView
from engage.domain.earning.streak import StreakView
from engage.domain.earning.unit import POINTS, Unit
from engage.domain.identity import Origin
from engage.domain.keys import MemberKey
from engage.ledger.accept import CreditToAccept
from engage.runtime.idempotency import Keyed


class MemberActivity(Struct, frozen=True):
    """`origin` is where the member's own request comes from; the shop's events have none."""

    program_id: str
    member_id: str
    activity: AnyActivity
    at: datetime
    keyed: "Keyed[RecordedActivity] | None" = None
    origin: Origin | None = None

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id


class CreditView(Struct, frozen=True):
    """A credit of an activity; with a `boost` it is beside another one of its rule, and a `campaign` pays it
    for a while. Without a due time it waits for the shop's confirmation, and lapses without it. `why` is the
    decision as it was made, or as it is stored: answers show it in words (`engage.api.http.credits`).
    """

    id: UUID
    rule: str
    points: int
    state: str
    due_at: datetime | None
    lapses_at: datetime | None
    why: Why | Mapping[str, Any]
    unit: Unit = POINTS
    boost: str | None = None
    campaign: str | None = None


def view_of(row: CreditToAccept) -> CreditView:
    """A credit that was just accepted."""
    credit = row.credit
    lapses_at = credit.lapses_at if credit.due_at is None else None
    return CreditView(
        row.id,
        credit.rule_id,
        credit.points,
        "pending",
        credit.due_at,
        lapses_at,
        credit.why,
        credit.unit,
        credit.boost,
        credit.campaign,
    )


class RecordedActivity(Struct, frozen=True):
    """The credits of an activity. `repeated`: it was recorded before, and nothing was added."""

    credits: list[CreditView]
    streak: StreakView | None = None
    limit: LimitView | None = None
    repeated: bool = False
