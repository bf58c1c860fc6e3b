"""The decisions of a trial about the credits of one member: what the draft adds, and what others then do.

Campaigns other than the draft are taken as they were: their points are those that they paid, changed by what
the draft takes from them or leaves to them. So a difference is always the draft's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from engage.domain.activity import Line, Order
from engage.domain.backtests.activities import NOTHING, Boosted, MemberHistory, StoredCredit
from engage.domain.backtests.trial import Trial
from engage.domain.campaigns.audience import Facts, needs, why_not
from engage.domain.campaigns.bases import Base, base_of, bases_of_order
from engage.domain.campaigns.boosting import Addition, additions_beside
from engage.domain.campaigns.index import Candidate, Candidates, PublishedCampaign
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


class Deciding:
    """The decisions of a trial. `terms` are those of a credit: of its program version, with the rules of the
    campaign that pays for it.
    """

    def __init__(self, trial: Trial, program: str, terms: Callable[[StoredCredit], EarningTerms]) -> None:
        self.trial = trial
        self.program = program
        self._terms = terms
        self._decided: dict[tuple[object, ...], tuple[Additions, Additions, object]] = {}

    def additions(
        self, credit: StoredCredit, before: Sequence[Candidate], after: Sequence[Candidate]
    ) -> tuple[Additions, Additions]:
        """The additions beside a credit by boosts of campaigns that are for the member, before and after."""
        if credit.is_order:
            base = self._base(credit)
            return _by_campaign(base, before), _by_campaign(base, after)
        key = credit.rule_id, credit.points, *map(id, before), None, *map(id, after)
        found = self._decided.get(key)
        if found is None:
            base = self._base(credit)
            # The candidates are kept with the decision: no other object may get their ids.
            found = _by_campaign(base, before), _by_campaign(base, after), (before, after)
            if len(self._decided) >= DECISIONS_KEPT:
                self._decided.clear()
            self._decided[key] = found
        return found[0], found[1]

    def _base(self, credit: StoredCredit) -> Base:
        activity = credit.decoded_activity()
        granted = credit.as_granted(self.program, activity)
        if not credit.is_order:
            return base_of(granted)
        assert isinstance(activity, Order)
        (base,) = bases_of_order(self._terms(credit), activity, [granted])
        return base


class MemberTrial:
    """The trial of one member."""

    def __init__(self, deciding: Deciding, history: MemberHistory) -> None:
        self._deciding = deciding
        self._history = history
        self._reached: dict[str, bool] = {}

    def candidates(self, credit: StoredCredit) -> tuple[Candidates, Candidates] | None:
        return self._deciding.trial.candidates(
            credit.rule_id, credit.decided_at, country=self._history.country, zone=credit.zone
        )

    def change(self, credit: StoredCredit, facts: Facts) -> Change | None:
        """The decision about a credit; None where the draft changes nothing beside it."""
        candidates = self.candidates(credit)
        if candidates is None:
            return None
        before, after = (self._for_member(each, facts, credit) for each in candidates)
        was, would = self._deciding.additions(credit, before, after)
        granted = self._history.boosts.get(credit.source_key, {})
        own = self._deciding.trial.draft.id
        draft = would.get(own)
        return Change(
            credit,
            NOTHING if draft is None else self._kept(credit, draft, draft.points),
            self._others(credit, granted, was, would),
        )

    def _others(
        self, credit: StoredCredit, granted: Mapping[str, Boosted], was: Additions, would: Additions
    ) -> dict[str, Boosted]:
        names = {*granted, *was, *would} - {self._deciding.trial.draft.id}
        found = (
            (name, self._other(credit, granted.get(name, NOTHING), was.get(name), would.get(name)))
            for name in sorted(names)
        )
        return {name: boosted for name, boosted in found if boosted.points}

    def _for_member(self, candidates: Candidates, facts: Facts, credit: StoredCredit) -> list[Candidate]:
        return [each for each in candidates if self._is_for(each.published, facts, credit)]

    def _is_for(self, published: PublishedCampaign, facts: Facts, credit: StoredCredit) -> bool:
        if needs(published.campaign.audience):
            return why_not(published.campaign, facts, credit.decided_at) is None
        key = published.name + credit.zone
        found = self._reached.get(key)
        if found is None:
            found = self._reached[key] = why_not(published.campaign, facts, credit.decided_at) is None
        return found

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


def _by_campaign(base: Base, candidates: Sequence[Candidate]) -> Additions:
    if not candidates:
        return {}
    return {addition.published.id: addition for addition in additions_beside(base, candidates)}
