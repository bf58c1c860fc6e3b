"""A backtest as a worker does it: the trial of its document, and all that it is counted by."""

from collections.abc import Callable, Sequence
from itertools import chain

import msgspec
from msgspec import Struct

from engage.domain.accounts.liability import PointRate
from engage.domain.backtests.activities import StoredCredit
from engage.domain.backtests.budget import Cut, is_since
from engage.domain.backtests.sums import Days, Event
from engage.domain.backtests.trial import Times, Trial, Window, as_tried, times_of
from engage.domain.campaigns.composition import named_parts, with_rules
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.earning.terms import EarningTerms
from engage.domain.program import versions
from engage.domain.program.program import Program
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store.backtests.jobs import Backtest


class BudgetLeft(Struct, frozen=True):
    """The end of the draft's budget; `cut` is None where something remains of it."""

    cut: Cut | None = None


class Job:
    """A backtest that runs."""

    def __init__(self, backtest: Backtest, trial: Trial, programs: Sequence[Program], times: Times) -> None:
        self.backtest = backtest
        self.trial = trial
        self.programs = programs
        self.times = times
        self.window = window_of(backtest)
        self.draft = trial.draft.campaign
        self.main_country = main_country(programs)
        self.days = Days(self.window.start, self.window.end, zone_of(programs, self.main_country))
        rules = chain(
            *(program.rules for program in programs),
            *(each.campaign.rules for each in trial.before.published),
        )
        self._activities = {rule.id: rule.on.activity for rule in rules}
        self._terms: dict[tuple[str, tuple[str, ...]], EarningTerms] = {}
        self._programs = {program.version: program for program in programs}

    @property
    def program_id(self) -> str:
        return self.backtest.program_id

    @property
    def has_total(self) -> bool:
        """True if the draft's budget is one for all members together."""
        budget = self.draft.budget
        return budget is not None and (budget.points is not None or budget.count is not None)

    def may_be_cut(self, event: Event, hour: int) -> bool:
        """True if the budget, used up in this hour, may leave less than all of an event. A credit of a rule
        of the draft's own is granted as a whole, so something may remain for a smaller one later.
        """
        return is_since(event, hour) and (bool(self.draft.rules) or not is_since(event, hour + 1))

    @property
    def cut(self) -> Cut | None:
        left = self.backtest.budget
        return None if left is None else msgspec.convert(left, BudgetLeft).cut

    def terms(self, credit: StoredCredit) -> EarningTerms:
        """The terms that decided about a credit, with the rules of campaigns where one of them pays it."""
        decided = named_parts(credit.version).campaigns
        paying = [
            each
            for each in self.trial.before.published
            if each.id == credit.campaign and (each.id, each.version) in decided
        ]
        if credit.campaign == self.draft.id and not paying:
            return self.draft_terms(credit.version)
        return self._with(credit.version, paying)

    def draft_terms(self, version: str) -> EarningTerms:
        """The terms of a program version with the rules of the draft."""
        return self._with(version, [self.trial.draft])

    def _with(self, version: str, paying: Sequence[PublishedCampaign]) -> EarningTerms:
        """`version` may be the name of terms that have the rules of campaigns already."""
        key = version, tuple(each.name for each in paying)
        if key not in self._terms:
            program = self._programs[named_parts(version).version]
            self._terms[key] = with_rules(program.earning, paying)
        return self._terms[key]

    def activity(self, credit: StoredCredit) -> str:
        """The kind of activity that a credit is for: that of its rule; of a definition one of its own."""
        return self._activities.get(credit.rule_id, credit.rule_id)

    def rate(self, country: str) -> PointRate:
        return versions.point_rate(self.programs, self.backtest.created_at, country)


async def job_of(services: Services, backtest: Backtest) -> Job:
    """Raises Unavailable."""
    await services.programs.refresh(services.db)
    async with one_statement(services.db) as conn:
        published = (await services.campaigns.at(conn, backtest.created_at)).get(backtest.program_id)
    programs = services.programs.versions(backtest.program_id)
    draft = backtest.campaign
    window = window_of(backtest)
    times = times_of(draft, window, zones_of(programs))
    known = () if published is None else published.published
    trial = Trial(as_tried(draft, window, times), known, _rules_about(programs, known))
    return Job(backtest, trial, programs, times)


def _rules_about(
    programs: Sequence[Program], campaigns: Sequence[PublishedCampaign]
) -> Callable[[str], list[str]]:
    """The ids of the rules of all versions and campaigns about an activity."""

    def about(activity: str) -> list[str]:
        rules = chain(*(program.rules for program in programs), *(each.campaign.rules for each in campaigns))
        return [rule.id for rule in rules if rule.on.activity == activity]

    return about


def main_country(programs: Sequence[Program]) -> str:
    """The first country of the first version."""
    return next(iter(programs[0].countries))


def zone_of(programs: Sequence[Program], country: str) -> str:
    """The zone of a country in the newest version that has it."""
    return next(each.countries[country].zone for each in reversed(programs) if country in each.countries)


def window_of(backtest: Backtest) -> Window:
    return Window(backtest.from_at, backtest.until_at, backtest.created_at)


def zones_of(programs: Sequence[Program]) -> list[str]:
    return sorted({market.zone for program in programs for market in program.countries.values()})
