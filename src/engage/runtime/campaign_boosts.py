"""The boosts of campaigns beside the credits of one posting.

Credits that were decided together are boosted together: members whom the same campaigns are for share the
decision about a credit.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from engage.domain.campaigns.bases import Base, base_of
from engage.domain.campaigns.boosting import additions_beside
from engage.domain.campaigns.index import CampaignIndex, Candidate
from engage.domain.earning.boost import Boost
from engage.domain.earning.credit import NewCredit
from engage.runtime.audiences import Occasion, facts_of
from engage.store.members.members import Member

Boosts = tuple[Boost, ...]


class CampaignBoosts:
    """The boosts of campaigns that are in force at the time of an activity; of one that is ahead of the
    clock, at `now`. `indexes` are the campaigns of all programs, as they are known at `now`.
    """

    def __init__(self, indexes: Mapping[str, CampaignIndex], now: datetime) -> None:
        self._indexes = indexes
        self._now = now
        self._candidates: dict[tuple[int, str], tuple[Candidate, ...]] = {}
        self._decided: dict[tuple[int, tuple[int, ...]], Boosts] = {}

    def exist(self, program_id: str) -> bool:
        """True if a program has campaigns that boost, at whatever time."""
        index = self._indexes.get(program_id)
        return index is not None and bool(index.boosted_rules)

    def may_boost(self, credit: NewCredit) -> bool:
        """True if a campaign is about the credit's rule, at whatever time."""
        index = self._indexes.get(credit.why.program)
        return index is not None and credit.rule_id in index.boosted_rules

    def occasion(self, member: Member, credits: Iterable[NewCredit]) -> Occasion | None:
        """The occasion of the credits of one activity; None where no campaign boosts them."""
        campaigns = {}
        why = None
        for credit in credits:
            why = credit.why
            for candidate in self._candidates_of(credit, member.country):
                campaigns[candidate.published.id] = candidate.published
        if why is None or not campaigns:
            return None
        return Occasion(facts_of(member, why.zone), min(why.at, self._now), tuple(campaigns.values()))

    def beside(self, credit: NewCredit, country: str, campaigns: frozenset[str]) -> Boosts:
        """The boosts beside a credit by those campaigns that are for its member."""
        candidates = [each for each in self._candidates_of(credit, country) if each.published.id in campaigns]
        if not candidates:
            return ()
        key = id(credit), tuple(map(id, candidates))
        if key not in self._decided:
            self._decided[key] = boosts_beside(base_of(credit), candidates)
        return self._decided[key]

    def of_order(self, base: Base, country: str, campaigns: frozenset[str]) -> Boosts:
        """The same of a credit of an order."""
        found = self._candidates_of(base.credit, country)
        return boosts_beside(base, [each for each in found if each.published.id in campaigns])

    def _candidates_of(self, credit: NewCredit, country: str) -> tuple[Candidate, ...]:
        key = id(credit), country
        found = self._candidates.get(key)
        if found is None:
            index, why = self._indexes.get(credit.why.program), credit.why
            at = min(why.at, self._now)
            found = (
                () if index is None else index.boosting(credit.rule_id, at, country=country, zone=why.zone)
            )
            self._candidates[key] = found
        return found


def boosts_beside(base: Base, candidates: Iterable[Candidate]) -> Boosts:
    return tuple(addition.as_boost() for addition in additions_beside(base, candidates))
