"""Expected credits and balances. Times without an offset are local times of the example's country."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct, Points

# The id of a rule, or of a definition after the name of its kind: quiz:spring.
PayingRule = Annotated[
    str,
    Meta(max_length=64, pattern=r"^[a-z][A-Za-z0-9_:-]*(?!\n)$", description="the id of a rule"),
]
Amount = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class ExpectedCredit(DocumentStruct, frozen=True):
    """`waits_for` stands instead of `due_at` while the due time is unknown."""

    rule: PayingRule
    points: Points
    source_key: str | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    waits_for: Literal["delivery", "confirmation"] | None = None


class ExpectedBalance(DocumentStruct, frozen=True):
    """A field that is left out is 0."""

    active: Amount = 0
    pending: Amount = 0
    held: Amount = 0
    debt: Amount = 0


class ExpectedExpiration(DocumentStruct, frozen=True):
    """Active points that expire at a time, or never."""

    points: Points
    expires_at: datetime | None = None
