"""The versions of a program in time: which one decides, and whether they can follow each other."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

from engage.domain.accounts.liability import PointRate
from engage.domain.calendar import start_of_day
from engage.domain.document.errors import Problem, shown
from engage.domain.earning.validation import rule_conflicts
from engage.domain.program import sections
from engage.domain.program.program import Program
from engage.domain.program.validation import same_codes


def in_force(versions: Sequence[Program], at: datetime, country: str) -> Program | None:
    """The version that decides for a member of `country` at `at`; None where the program does not run (yet).

    It is the newest of those that run in that country and whose first day has begun there, in the zone
    that the version itself gives the country. So a version speaks only for the countries it lists. Where it
    comes too early for a country (NL in v2020) it is as if it were not there; where a newer version leaves a
    country out, the older one goes on there, so that new rules can begin in some countries alone, and nobody
    loses a program by a forgotten line. Of two with the same first day, the later in the sequence counts.
    """
    begun = [
        version
        for version in versions
        if (market := version.countries.get(country)) is not None
        and start_of_day(version.in_force_from, market.zone) <= at
    ]
    newest = max((version.in_force_from for version in begun), default=None)
    return next((version for version in reversed(begun) if version.in_force_from == newest), None)


def upcoming(versions: Sequence[Program], after: datetime, country: str) -> list[tuple[datetime, Program]]:
    """(start, version) of the versions that begin in `country` after `after`."""
    return [
        (start, version)
        for version in versions
        if (market := version.countries.get(country)) is not None
        and (start := start_of_day(version.in_force_from, market.zone)) > after
    ]


def point_rate(versions: Sequence[Program], at: datetime, country: str) -> PointRate:
    """A point's worth by the version in force. A program that had not begun in the country yet has the
    currency of the first version that lists it, and no worth.
    """
    program = in_force(versions, at, country)
    if program is None:
        first = next(version for version in versions if country in version.countries)
        return PointRate(first.countries[country].currency, None)
    worth = program.worth
    rate = None if worth is None else Fraction(worth.minor, worth.points)
    return PointRate(program.countries[country].currency, rate)


def conflicts(versions: Sequence[Program]) -> list[tuple[Program, Problem]]:
    """What keeps versions of one program from following each other, with the later version of each pair.

    A rule's id is for ever: the source keys of credits and the records of the gate are made of it. So is that
    of a reward.
    """
    found: list[tuple[Program, Problem]] = []
    for n, version in enumerate(versions):
        for earlier in versions[:n]:
            found += [(version, problem) for problem in _between(earlier, version)]
    return found


def _between(earlier: Program, later: Program) -> list[Problem]:
    problems: list[Problem] = []
    if earlier.version == later.version:
        problems.append(Problem("version", "a name of its own", f"{shown(later.version)} twice"))
    if earlier.in_force_from == later.in_force_from and earlier.countries.keys() & later.countries.keys():
        found = f"{later.in_force_from}, that of version {earlier.version}"
        problems.append(Problem("in_force_from", "a first day of its own", found))
    problems += rule_conflicts(earlier.rules, later.rules, earlier.version)
    return [*problems, *sections.conflicts(earlier, later), *_codes(earlier, later)]


def _codes(earlier: Program, later: Program) -> list[Problem]:
    """Rules and zones of the later version that the gate would take for others of the earlier one."""
    rules = {rule.id: "" for rule in earlier.rules}
    rules |= {rule.id: f"rules[{n}].id" for n, rule in enumerate(later.rules)}
    zones = {market.zone: "" for market in earlier.countries.values()}
    zones |= {market.zone: f"countries.{country}.zone" for country, market in later.countries.items()}
    return [*same_codes(rules, "an id"), *same_codes(zones, "a zone")]
