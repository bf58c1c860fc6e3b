"""Streaks of members: under which terms a version counts them, and since when a rule gives freezes."""

from collections.abc import Iterable, Sequence

from engage.domain import calendar
from engage.domain.earning.limits import DailyStreak
from engage.domain.earning.streak import introduce
from engage.domain.earning.streak_history import Introduction, StreakEvent
from engage.domain.program.program import Program
from engage.ledger.streaks import RecordedEvent, StreakInLedger
from engage.runtime.services import Services

_NO_TERMS = DailyStreak()


def streak_terms(program: Program, rule_id: str) -> DailyStreak:
    """The terms of a streak in a version. A version without the rule has none."""
    rule = program.earning.rules.by_id.get(rule_id)
    return rule.limit if rule is not None and isinstance(rule.limit, DailyStreak) else _NO_TERMS


def introduction(versions: Sequence[Program], rule_id: str, *, country: str) -> Introduction | None:
    """The first of a program's versions with freezes for the rule, and its beginning in a country."""
    for version in versions:
        terms, market = streak_terms(version, rule_id), version.countries.get(country)
        if terms.freezes is not None and market is not None:
            return Introduction(calendar.start_of_day(version.in_force_from, market.zone), terms)
    return None


def introduced(found: StreakInLedger, since: Introduction | None) -> StreakInLedger:
    """The streak with the freezes that a version has given to everyone since its newest event."""
    if since is None or found.streak.freezes is not None:
        return found
    return StreakInLedger(introduce(found.streak, since.since, since.terms), found.seq)


async def with_terms(
    services: Services, program_id: str, rule_id: str, history: Iterable[RecordedEvent]
) -> list[StreakEvent]:
    """The events of a history, each under the terms that decided it. Raises Unavailable."""
    terms: dict[str, DailyStreak] = {}
    events = []
    for event in history:
        if event.version not in terms:
            version = await services.programs.version(services.db, program_id, event.version)
            terms[event.version] = streak_terms(version, rule_id)
        events.append(event.event(terms[event.version]))
    return events
