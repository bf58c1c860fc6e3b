"""The credits that the rules of a draft's own would have granted a member, activity by activity.

Limits are kept from the beginning of the window on. Of an activity that earned nothing nothing is stored, so
nothing is known of it here.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from engage.domain.activity import AnyActivity, Order
from engage.domain.backtests.activities import MemberHistory, StoredCredit
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.orders import standing
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.unit import POINTS
from engage.domain.refusals import Refusal
from engage.domain.simulation.limits import SimulatedLimits

Kept = tuple[NewCredit, int]  # A credit, and its points that returns so far would have left.


class OwnRules:
    """The credits of one member. `terms` are those of a program version with the rules of the draft, which
    `campaign` names.
    """

    def __init__(self, campaign: str, terms: Callable[[str], EarningTerms], history: MemberHistory) -> None:
        self._campaign = campaign
        self._terms = terms
        self._returned = history.returned
        self._limits = SimulatedLimits()
        self._recorded: set[tuple[datetime, str | None, str]] = set()
        self._granted = {credit.source_key: credit for credit in history.credits if self.has_granted(credit)}
        self.source_keys: set[str] = set()

    def has_granted(self, credit: StoredCredit) -> bool:
        """True if a rule of the campaign that the draft replaces has granted a credit, and no definition."""
        return credit.campaign == self._campaign and ":" not in credit.rule_id

    def credits(self, credit: StoredCredit) -> list[StoredCredit]:
        """The credits for the activity that a stored one is for, where that is the activity's first."""
        activity = credit.decoded_activity()
        key = credit.activity_at, credit.reference, str(activity.__struct_config__.tag)
        if key in self._recorded:
            return []
        self._recorded.add(key)
        terms = self._terms(credit.version)
        found = [
            self._stored(credit, number, new, kept)
            for number, (new, kept) in enumerate(self._decided(credit, activity, terms), start=1)
            if new.unit == POINTS
            and terms.campaigns.get(new.rule_id) == self._campaign
            and new.source_key not in self.source_keys
        ]
        self.source_keys |= {each.source_key for each in found}
        return found

    def is_new(self, credit: StoredCredit) -> bool:
        """True for a credit that was not granted."""
        return credit.source_key not in self._granted

    def _decided(self, credit: StoredCredit, activity: AnyActivity, terms: EarningTerms) -> list[Kept]:
        at, zone = credit.activity_at, credit.zone
        if isinstance(activity, Order):
            returned: Mapping[str, int] = self._returned.get(credit.reference or "", {})
            standings = standing(terms, activity, at=at, zone=zone, returned=returned)
            return [(each.credit, each.kept if credit.kept else 0) for each in standings]
        try:
            earned = self._limits.record(terms, activity, at, zone)
        except Refusal:  # No rule has a slot left.
            return []
        return [(each, each.points if credit.kept else 0) for each in earned]

    def _stored(self, credit: StoredCredit, number: int, new: NewCredit, kept: int) -> StoredCredit:
        """A new credit as it would have been stored beside the one that its activity is known by."""
        granted = self._granted.get(new.source_key)
        return StoredCredit(
            id=UUID(int=(credit.id.int + number) % 2**128) if granted is None else granted.id,
            source_key=new.source_key,
            rule_id=new.rule_id,
            points=new.points,
            kept=kept if granted is None or granted.points != new.points else granted.kept,
            campaign=self._campaign,
            reference=new.reference,
            activity_at=credit.activity_at,
            accepted_at=credit.accepted_at,
            version=credit.version,
            zone=credit.zone,
            is_order=credit.is_order,
            activity=credit.activity,
        )
