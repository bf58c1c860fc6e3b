"""The subject of an earning rule."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from engage.domain.activity import Identifier, RuleActivity
from engage.domain.document.fields import DocumentStruct

# The fields of each activity, by its name.
ACTIVITY_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    str(activity.__struct_config__.tag): activity.__struct_fields__ for activity in get_args(RuleActivity)
}


class On(DocumentStruct, frozen=True):
    """An activity, and for shares the kind, for visits the page; without one, all of them."""

    activity: Literal[
        "registration", "app_sign_in", "fuel_tap", "share", "review", "visit", "birthday", "order"
    ]
    kind: Literal["social", "link"] | None = None
    page: Identifier | None = None

    @property
    def qualifier(self) -> str | None:
        """As that of the activities (`engage.domain.activity`); None for all of them."""
        return self.kind or self.page

    @property
    def fields(self) -> tuple[str, ...]:
        return ACTIVITY_FIELDS[self.activity]

    def covers(self, other: "On") -> bool:
        """Tell whether every activity of `other` is one of this too."""
        return self.activity == other.activity and self.qualifier in (None, other.qualifier)

    def __str__(self) -> str:
        if self.page is not None:
            return f"{self.activity} of page {self.page}"
        return self.activity if self.kind is None else f"{self.activity} of kind {self.kind}"
