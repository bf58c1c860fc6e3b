"""Boosts: points beside those of a rule, such as the double points of a level or of a campaign.

A boost never changes the base credit. What it adds is a credit of its own: the rule, activity and times are
those of the base; its source key is the base's and the boost's. So it settles with the base, and is taken
back with it and in proportion.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.earning.credit import NewCredit
from engage.domain.earning.trace import TraceCode, TraceStep, step
from engage.domain.earning.unit import POINTS
from engage.domain.keys import boosted_key


class Boost(Struct, frozen=True, kw_only=True):
    """A boost that applies to an activity. `id` is shown with its credits, `key` ends their source keys.

    `code` and `facts` say why, in the trace, beside what every boost tells: the rule, the base points and its
    own. A level multiplies each base. What a campaign adds beside the credit of one `rule` was decided with
    all other campaigns, under its `version`: its `points`, and the lines of an order with which they go back
    (`lines`, None is all of its base).
    """

    id: str
    key: str
    multiply: Decimal = Decimal(1)
    code: TraceCode
    facts: dict[str, Any] = {}
    campaign: str | None = None
    version: int | None = None
    rule: str | None = None
    points: int | None = None
    lines: tuple[str, ...] | None = None

    def points_beside(self, base: NewCredit) -> int:
        """The points beside a base credit, rounded down once; 0 where it is about another one."""
        if self.rule is not None and self.rule != base.rule_id:
            return 0
        return int((self.multiply - 1) * base.points) if self.points is None else self.points


def beside(base: NewCredit, boosts: Sequence[Boost]) -> list[tuple[NewCredit, Boost]]:
    """The credits that boosts add beside a base credit: each counts on the base, and none on another one.

    Nothing is added to status, or where not a whole point comes of it.
    """
    if base.unit != POINTS:
        return []
    return [
        (_beside(base, boost, points), boost) for boost in boosts if (points := boost.points_beside(base)) > 0
    ]


def _beside(base: NewCredit, boost: Boost, points: int) -> NewCredit:
    multiply = {"multiply": str(boost.multiply)} if boost.campaign is None else {}
    why = step(
        boost.code,
        rule=base.rule_id,
        base_points=base.points,
        points=points,
        **multiply,
        **boost.facts,
    )
    return replace(
        base,
        points=points,
        campaign=boost.campaign,
        boost=boost.id,
        beside=boost.key,
        source_key=boosted_key(base.source_key, boost.key),
        windows=(),
        # The inputs of the base stay apart: days of streaks and slots are read from them.
        why=replace(base.why, inputs={"base": base.why.inputs}, trace=[why, *_held(base)]),
    )


def _held(base: NewCredit) -> list[TraceStep]:
    """The step that says that the credit is held for review, with all that boosts add beside it."""
    return [each for each in base.why.trace if each.code == TraceCode.HELD]
