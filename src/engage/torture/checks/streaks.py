"""A streak is the fold of the taps that were accepted, by a model that imports nothing of the rules."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engage.torture.checks.broken import Broken
from engage.torture.checks.due import SLACK
from engage.torture.checks.evidence import Evidence

STREAK: Final = "a streak is the fold of its taps"
BONUS_EVERY: Final = 3
ONE_DAY: Final = timedelta(days=1)


def lengths(days: Iterable[date]) -> dict[date, int]:
    """The length of the streak on each day with a tap."""
    found: dict[date, int] = {}
    for day in sorted(days):
        found[day] = found.get(day - ONE_DAY, 0) + 1
    return found


def streaks_are_folds(evidence: Evidence) -> Iterator[Broken]:
    """Each accepted tap is answered with the length of the fold, and the bonus is paid on each third day."""
    tapped: defaultdict[str, dict[date, str]] = defaultdict(dict)
    bonus: defaultdict[str, set[date]] = defaultdict(set)
    for credit in evidence.books.credits:
        if credit.member_id in evidence.books.closed or not credit.points or credit.campaign is not None:
            continue
        day = credit.source_key.partition(":")[2]
        if credit.rule_id == "fuel":
            tapped[credit.member_id][date.fromisoformat(day)] = str(credit.id)
        elif credit.rule_id == "fuel_streak":
            bonus[credit.member_id].add(date.fromisoformat(day))
    for member, days in tapped.items():
        fold = lengths(days)
        due = {day for day, length in fold.items() if length % BONUS_EVERY == 0}
        if due != bonus[member]:
            text = f"{member}: the bonus is due on {sorted(due)}, and was paid on {sorted(bonus[member])}"
            yield Broken(STREAK, (), text)
    yield from _answers(evidence, tapped)
    yield from _home_screens(evidence, tapped)


def _answers(evidence: Evidence, tapped: dict[str, dict[date, str]]) -> Iterator[Broken]:
    for exchange in evidence.of("recordFuelTap"):
        if not exchange.is_done or exchange.sent.member in evidence.books.closed:
            continue
        days = {id_: day for day, id_ in tapped.get(exchange.sent.member, {}).items()}
        named = [days[credit["id"]] for credit in exchange.answer["credits"] if credit["id"] in days]
        if len(named) != 1:
            yield Broken(STREAK, (exchange.id,), "a tap was accepted, and no day has it")
            continue
        length = lengths(days.values())[named[0]]
        if exchange.answer["streak"]["days"] != length:
            answered = exchange.answer["streak"]["days"]
            text = f"{answered} days were answered for {named[0]}, and it was day {length}"
            yield Broken(STREAK, (exchange.id,), text)


def _home_screens(evidence: Evidence, tapped: dict[str, dict[date, str]]) -> Iterator[Broken]:
    """The last home screen shows the run, unless a day was missed. Earlier ones are older than some taps."""
    last = {each.sent.member: each for each in evidence.of("getHome") if each.is_done}
    for member, exchange in last.items():
        taps = evidence.of("recordFuelTap")
        if any(each.sent.member == member and each.ended > exchange.sent.at for each in taps):
            continue
        if member in evidence.books.closed:
            continue
        fold = lengths(tapped.get(member, {}))
        zone = ZoneInfo(evidence.zones[member])
        first, last_day = (
            at.astimezone(zone).date() for at in _bounds(evidence, exchange.sent.at, exchange.ended)
        )
        # While the clock is advanced it shows times between.
        possible = {_shown(fold, first + ONE_DAY * n) for n in range((last_day - first).days + 1)}
        if exchange.answer["streak"]["days"] not in possible:
            text = f"{member}: {exchange.answer['streak']['days']} days are shown, and {possible} are right"
            yield Broken(STREAK, (exchange.id,), text)


def _bounds(evidence: Evidence, began: float, ended: float) -> tuple[datetime, datetime]:
    return evidence.timeline.earliest(began) - SLACK, evidence.timeline.latest(ended) + SLACK


def _shown(fold: dict[date, int], today: date) -> int:
    return fold.get(today) or fold.get(today - ONE_DAY) or 0
