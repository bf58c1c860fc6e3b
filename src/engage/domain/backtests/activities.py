"""The credits of a member in a window, as they were granted."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit, Why

_activity: msgspec.json.Decoder[AnyActivity] = msgspec.json.Decoder(AnyActivity)


class StoredCredit(Struct, frozen=True):
    """A credit as a rule granted it. `points` are all that were granted, `kept` those that nothing has taken
    back since. `campaign` pays for it, where the rule is a campaign's own. `activity` is the JSON of what
    earned it; it is None, and `zone` empty, where the trial is not about the rule.
    """

    id: UUID
    source_key: str
    rule_id: str
    points: int
    kept: int
    campaign: str | None
    reference: str | None
    activity_at: datetime
    accepted_at: datetime
    version: str
    zone: str
    is_order: bool
    activity: str | None

    @property
    def decided_at(self) -> datetime:
        """The time by which campaigns were in force for it: never ahead of the clock."""
        return min(self.activity_at, self.accepted_at)

    def decoded_activity(self) -> AnyActivity:
        """The activity of a credit that the trial is about."""
        assert self.activity is not None
        return _activity.decode(self.activity)

    def as_granted(self, program: str, activity: AnyActivity) -> NewCredit:
        """The credit as it was before it was written, as far as a boost depends on it."""
        why = Why(
            program=program,
            version=self.version,
            rule=self.rule_id,
            activity=activity,
            at=self.activity_at,
            zone=self.zone,
            inputs={},
            trace=[],
        )
        return NewCredit(
            rule_id=self.rule_id,
            points=self.points,
            campaign=self.campaign,
            source_key=self.source_key,
            reference=self.reference,
            activity_at=self.activity_at,
            due_at=None,
            expires_at=None,
            why=why,
        )


class Boosted(Struct, frozen=True):
    """Points that a campaign adds beside a credit, and those that nothing has taken back since."""

    points: int
    kept: int


NOTHING: Final = Boosted(0, 0)


class MemberHistory(Struct, frozen=True, kw_only=True):
    """A member's base credits in the window, in the order of their acceptance.

    `boosts` are those of campaigns, by the source key of the base and by campaign; `by_levels` what levels
    added, with the times of the activities. `returned` are the quantities that came back of orders of which
    a part did, by reference and line.
    """

    program: str
    member_id: str
    country: str
    joined_at: datetime
    credits: Sequence[StoredCredit]
    boosts: Mapping[str, Mapping[str, Boosted]] = {}
    by_levels: Sequence[tuple[datetime, int]] = ()
    returned: Mapping[str, Mapping[str, int]] = {}
