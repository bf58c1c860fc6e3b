"""The origin of a step of an example, and the velocity rules that are expected to hold it."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from engage.domain.activity import Identifier
from engage.domain.document.errors import Problem, nearest, shown
from engage.domain.document.fields import DocumentStruct, RuleId
from engage.domain.feature.outcome import NOTHING, Expectation
from engage.domain.feature.section import Context
from engage.domain.identity import Origin
from engage.domain.protection.definition import MOST_PLACES


class StepOrigin(DocumentStruct, frozen=True, kw_only=True):
    """The device and the network of a step, by names of the example's choice. `others`: so many other
    members, or activities of others, have come from there before, in the same windows.
    """

    device: Identifier | None = None
    network: Identifier | None = None
    attested: bool = False
    others: Annotated[int, Meta(ge=0, le=MOST_PLACES)] = 0

    def problems(self, path: str) -> Iterator[Problem]:
        if self.device is None and self.network is None:
            yield Problem(path, "a device or a network", "neither")
        if self.attested and self.device is None:
            yield Problem(f"{path}.attested", "a device beside it", "none")

    @property
    def origin(self) -> Origin:
        return Origin((self.device or "").encode(), self.attested, (self.network or "").encode())


class ExpectedHold(Expectation, frozen=True):
    """The velocity rules that hold the points of a step, in the order of the document; none of them where
    the list is empty.
    """

    by: Annotated[list[RuleId], Meta(max_length=20)]

    def problems(self, path: str, context: Context) -> Iterator[Problem]:
        known = context.ids.get("velocity", ())
        for n, rule in enumerate(self.by):
            if rule not in known:
                yield Problem(
                    f"{path}.by[{n}]", "the id of a velocity rule", shown(rule) + nearest(rule, known)
                )

    def in_words(self, zone: str) -> str:
        return f"held by {' and '.join(self.by) or NOTHING}"
