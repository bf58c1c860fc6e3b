"""The subject of an earning rule."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from engage.domain.activity import AnyActivity
from engage.domain.document.fields import DocumentStruct

# The fields of each activity, by its name.
ACTIVITY_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    str(activity.__struct_config__.tag): activity.__struct_fields__ for activity in get_args(AnyActivity)
}


class On(DocumentStruct, frozen=True):
    """An activity, and for shares the kind of share; without a kind, all of them."""

    activity: Literal["registration", "app_sign_in", "fuel_tap", "share", "review", "order"]
    kind: Literal["social", "link"] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return ACTIVITY_FIELDS[self.activity]

    def covers(self, other: "On") -> bool:
        """Tell whether every activity of `other` is one of this too."""
        return self.activity == other.activity and self.kind in (None, other.kind)

    def __str__(self) -> str:
        return self.activity if self.kind is None else f"{self.activity} of kind {self.kind}"
