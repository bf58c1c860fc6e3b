"""The levels that a step of an example expects after it."""

from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct, RuleId


class ExpectedTier(DocumentStruct, frozen=True):
    """A group and the level in it; without a level, below the first one."""

    group: RuleId
    level: RuleId | None = None
    value: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] | None = None
