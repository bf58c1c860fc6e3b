"""The versions of a program: the one in force at a time, and the conflicts between them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction

from engage.domain.accounts.liability import PointRate
from engage.domain.calendar import local_date, start_of_day
from engage.domain.document.errors import Problem, shown
from engage.domain.earning.validation import short_code_problems
from engage.domain.program import sections
from engage.domain.program.program import Program


def in_force(versions: Sequence[Program], at: datetime, country: str) -> Program | None:
    """The version for members of `country` at `at`; None if the program does not run there (yet).

    It is the newest version that lists the country and whose first day has begun there, in the zone that the
    version gives the country. So new rules can start in some countries only, and a country that a newer
    version leaves out keeps the older one. Of two versions with the same first day, the later in the sequence
    counts.
    """
    begun = [
        version
        for version in versions
        if (market := version.countries.get(country)) is not None
        and start_of_day(version.in_force_from, market.zone) <= at
    ]
    newest = max((version.in_force_from for version in begun), default=None)
    return next((version for version in reversed(begun) if version.in_force_from == newest), None)


def newest_by_country(versions: Sequence[Program]) -> list[Program]:
    """The newest version of each country, also if it has not begun; each once, oldest first."""
    newest = {country: version for version in versions for country in version.countries}
    names = {version.version for version in newest.values()}
    return [version for version in versions if version.version in names]


def four_eyes(versions: Sequence[Program], at: datetime) -> bool:
    """Tell whether nobody may approve a campaign of their own: if any country's rules at `at` want it so, or
    those of any version of a program that has not begun.
    """
    countries = {country for version in versions for country in version.countries}
    begun = [version for country in countries if (version := in_force(versions, at, country)) is not None]
    return any(version.four_eyes for version in begun or versions)


def upcoming(versions: Sequence[Program], after: datetime, country: str) -> list[tuple[datetime, Program]]:
    """(start, version) of the versions that begin in `country` after `after`."""
    return [
        (start, version)
        for version in versions
        if (market := version.countries.get(country)) is not None
        and (start := start_of_day(version.in_force_from, market.zone)) > after
    ]


def in_force_during(
    versions: Sequence[Program], country: str, start: datetime, end: datetime
) -> list[Program]:
    """The versions that are in force in a country at some time from `start` until `end`."""
    first = in_force(versions, start, country)
    later = [version for begin, version in upcoming(versions, start, country) if begin < end]
    return [*([] if first is None else [first]), *later]


def first_day(version: Program, *, after: datetime) -> date:
    """The first day that begins later than `after` in each of the version's countries."""
    return max(local_date(after, market.zone) for market in version.countries.values()) + timedelta(days=1)


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
    """(later version, problem) for each pair of versions of one program that cannot follow each other.

    The id of a definition is permanent: source keys, gate records, stock and issued codes contain it.
    """
    found: list[tuple[Program, Problem]] = []
    for n, version in enumerate(versions):
        for earlier in versions[:n]:
            found += [(version, problem) for problem in _between(earlier, version)]
    return found


def _between(earlier: Program, later: Program) -> list[Problem]:
    problems: list[Problem] = []
    if earlier.version == later.version:
        problems.append(Problem("version", "a unique version name", f"{shown(later.version)} twice"))
    if earlier.in_force_from == later.in_force_from and earlier.countries.keys() & later.countries.keys():
        found = f"{later.in_force_from}, that of version {earlier.version}"
        problems.append(Problem("in_force_from", "another first day", found))
    zones = {market.zone: "" for market in earlier.countries.values()}
    zones |= {market.zone: f"countries.{country}.zone" for country, market in later.countries.items()}
    return [*problems, *sections.conflicts(earlier, later), *short_code_problems(zones, "a zone")]
