"""The decisions of a trial about the credits of one member: what the draft adds, and what others then do.

Campaigns other than the draft are taken as they were: their points are those that they paid, changed by what
the draft takes from them or leaves to them. So a difference is always the draft's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct

from engage.domain.activity import Line, Order
from engage.domain.backtests.activities import NOTHING, Boosted, MemberHistory, StoredCredit
from engage.domain.backtests.own_rules import OwnRules
from engage.domain.backtests.trial import Looked, Trial
from engage.domain.campaigns.audience import Facts, why_not
from engage.domain.campaigns.bases import Base, base_of, bases_of_order
from engage.domain.campaigns.boosting import Addition, additions_beside
from engage.domain.campaigns.index import Candidates, PublishedCampaign
from engage.domain.earning.order_returns import taken_back
from engage.domain.earning.terms import EarningTerms

# Decisions about activities of members whom the same campaigns are for are made once.
DECISIONS_KEPT: Final = 10_000

Additions = Mapping[str, Addition]  # By campaign.


class Change(Struct, frozen=True):
    """A credit about which the trial decides. `draft` is what the draft adds beside it, before its budget;
    `others` what the other campaigns then add.
    """

    credit: StoredCredit
    draft: Boosted
    others: Mapping[str, Boosted]


class Own(Struct, frozen=True):
    """A credit of a rule of the draft's own, and what is beside it, where it was not granted."""

    credit: StoredCredit
    change: Change | None


class Reached(Struct, frozen=True):
    """The boosts of campaigns that are for a member, before and after. `pays`: the draft's own rules do."""

    before: Candidates
    after: Candidates
    pays: bool


class Deciding:
    """The decisions of a trial. `terms` are those of a credit: of its program version, with the rules of the
    campaign that pays for it. `draft_terms` are those of a version with the rules of the draft.
    """

    def __init__(
        self,
        trial: Trial,
        program: str,
        terms: Callable[[StoredCredit], EarningTerms],
        draft_terms: Callable[[str], EarningTerms],
    ) -> None:
        self.trial = trial
        self.draft_terms = draft_terms
        self.program = program
        self._terms = terms
        # Members whom the same campaigns are for have one object, so it stands for the decision about them.
        self._reached: dict[tuple[int, tuple[bool, ...]], Reached] = {}
        self._decided: dict[tuple[str, int, int], tuple[Additions, Additions]] = {}

    def reached(self, looked: Looked, are_for: tuple[bool, ...]) -> Reached:
        """The boosts of the campaigns that are for a member."""
        key = id(looked), are_for
        found = self._reached.get(key)
        if found is None:
            names = {each.name for each, is_for in zip(looked.campaigns, are_for, strict=True) if is_for}
            before, after = (
                tuple(each for each in both if each.published.name in names)
                for both in (looked.before, looked.after)
            )
            pays = looked.pays and self.trial.draft.name in names
            found = self._reached[key] = Reached(before, after, pays)
        return found

    def additions(self, credit: StoredCredit, reached: Reached) -> tuple[Additions, Additions]:
        """The additions beside a credit, before and after."""
        if credit.is_order:
            base = self._base(credit)
            return _by_campaign(base, reached.before), _by_campaign(base, reached.after)
        key = credit.rule_id, credit.points, id(reached)
        found = self._decided.get(key)
        if found is None:
            base = self._base(credit)
            if len(self._decided) >= DECISIONS_KEPT:
                self._decided.clear()
            found = _by_campaign(base, reached.before), _by_campaign(base, reached.after)
            self._decided[key] = found
        return found

    def _base(self, credit: StoredCredit) -> Base:
        activity = credit.decoded_activity()
        granted = credit.as_granted(self.program, activity)
        if not credit.is_order:
            return base_of(granted)
        assert isinstance(activity, Order)
        (base,) = bases_of_order(self._terms(credit), activity, [granted])
        return base


class MemberTrial:
    """The trial of one member. `facts` are those at the time of an activity."""

    def __init__(
        self, deciding: Deciding, history: MemberHistory, facts: Callable[[StoredCredit], Facts]
    ) -> None:
        self._deciding = deciding
        self._history = history
        self._facts = facts
        # Of campaigns that ask for nothing that changes, by zone.
        self._reached: dict[tuple[int, str], Reached] = {}
        self._are_for: dict[tuple[int, str], bool] = {}

    @cached_property
    def _own(self) -> OwnRules:
        return OwnRules(self._deciding.trial.draft.id, self._deciding.draft_terms, self._history)

    def own(self, credit: StoredCredit) -> Iterator[Own]:
        """Grants of the draft's own rules for the activity of a credit, where that is its first."""
        looked = self._deciding.trial.looked(credit, self._history.country)
        if looked is not None and looked.pays and self._for_member(looked, credit).pays:
            for own in self._own.credits(credit):
                yield Own(own, self.change(own) if self._own.is_new(own) else None)

    def lost(self, credit: StoredCredit, change: Change | None) -> Boosted:
        """The loss of a credit which the campaign that the draft replaces has granted. Where the
        draft grants none in its place, the boosts beside it go too.
        """
        if not self._own.has_granted(credit):
            return NOTHING
        boosts: Iterable[Boosted] = ()
        if credit.source_key not in self._own.source_keys:
            granted = self._history.boosts.get(credit.source_key, {})
            boosts = (granted if change is None else change.others).values()
        return Boosted(
            credit.points + sum(each.points for each in boosts),
            credit.kept + sum(each.kept for each in boosts),
        )

    def change(self, credit: StoredCredit) -> Change | None:
        """The decision about a credit; None where the draft changes nothing beside it."""
        looked = self._deciding.trial.looked(credit, self._history.country)
        if looked is None:
            return None
        was, would = self._deciding.additions(credit, self._for_member(looked, credit))
        granted = self._history.boosts.get(credit.source_key, {})
        draft = would.get(self._deciding.trial.draft.id)
        return Change(
            credit,
            NOTHING if draft is None else self._kept(credit, draft, draft.points),
            self._others(credit, granted, was, would),
        )

    def _for_member(self, looked: Looked, credit: StoredCredit) -> Reached:
        key = id(looked), credit.zone
        found = self._reached.get(key)
        if found is None:
            facts = self._facts(credit)
            are_for = tuple(self._is_for(each, facts, credit) for each in looked.campaigns)
            found = self._deciding.reached(looked, are_for)
            if not looked.asks:
                self._reached[key] = found
        return found

    def _is_for(self, published: PublishedCampaign, facts: Facts, credit: StoredCredit) -> bool:
        if id(published) in self._deciding.trial.asking:
            return why_not(published.campaign, facts, credit.decided_at) is None
        key = id(published), credit.zone
        found = self._are_for.get(key)
        if found is None:
            found = self._are_for[key] = why_not(published.campaign, facts, credit.decided_at) is None
        return found

    def _others(
        self, credit: StoredCredit, granted: Mapping[str, Boosted], was: Additions, would: Additions
    ) -> dict[str, Boosted]:
        names = {*granted, *was, *would} - {self._deciding.trial.draft.id}
        found = (
            (name, self._other(credit, granted.get(name, NOTHING), was.get(name), would.get(name)))
            for name in sorted(names)
        )
        return {name: boosted for name, boosted in found if boosted.points}

    def _other(
        self, credit: StoredCredit, granted: Boosted, was: Addition | None, would: Addition | None
    ) -> Boosted:
        """The points of another campaign: what it paid, changed by what the draft takes from it or leaves."""
        change = (would.points if would else 0) - (was.points if was else 0)
        if change == 0:
            return granted
        if change > 0 and would is not None:
            more = self._kept(credit, would, change)
            return Boosted(granted.points + change, granted.kept + more.kept)
        points = max(0, granted.points + change)
        return Boosted(points, granted.kept * points // granted.points) if points else NOTHING

    def _kept(self, credit: StoredCredit, addition: Addition, points: int) -> Boosted:
        """Points beside a credit, and those that the returns so far would have left of them."""
        if credit.kept == credit.points:
            return Boosted(points, points)
        returned = self._history.returned.get(credit.reference or "")
        if not credit.kept or returned is None:
            return Boosted(points, 0)
        weights = {line.line_id: weight for line, weight in addition.base.lines}
        lines = [
            line
            for line, _ in addition.base.lines
            if addition.lines is None or line.line_id in addition.lines
        ]

        def weight(line: Line) -> int:
            return weights[line.line_id]

        return Boosted(points, points - taken_back(points, lines, returned, weight=weight))


def _by_campaign(base: Base, candidates: Candidates) -> Additions:
    if not candidates:
        return {}
    return {addition.published.id: addition for addition in additions_beside(base, candidates)}
