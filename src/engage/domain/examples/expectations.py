"""Expected credits and balances. Times without an offset are local times of the example's country."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct, Points
from engage.domain.earning.unit import POINTS, Unit

# The id of a rule, or of a definition after the name of its kind: quiz:spring.
PayingRule = Annotated[
    str,
    Meta(max_length=64, pattern=r"^[a-z][A-Za-z0-9_:-]*(?!\n)$", description="the id of a rule"),
]
BoostId = Annotated[
    str,
    Meta(max_length=64, pattern=r"^[a-z][A-Za-z0-9_:-]*(?!\n)$", description="a boost, such as tier:gold"),
]
Amount = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class ExpectedCredit(DocumentStruct, frozen=True):
    """`waits_for` stands instead of `due_at` while the due time is unknown. `boost` names the boost that adds
    the credit beside one of the same rule.
    """

    rule: PayingRule
    points: Points
    unit: Unit = POINTS
    boost: BoostId | None = None
    source_key: str | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    waits_for: Literal["delivery", "confirmation"] | None = None

    @property
    def names(self) -> tuple[str, str | None]:
        """The names that tell it from the other credits of its step."""
        return self.rule, self.boost


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
