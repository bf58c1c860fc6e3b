"""The next version of a program, which differs in the stock and the suspension of rewards alone."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import count
from typing import Any, Final

import tomlkit
from msgspec import Struct
from msgspec.structs import replace

from engage.domain.calendar import start_of_day
from engage.domain.program import versions
from engage.domain.program.program import Program
from engage.domain.rewards.definition import AnyReward

# The end of names that are made here: the first day.
_DAY: Final = re.compile(r"-\d{4}-\d{2}-\d{2}(-\d+)?$")
_LONGEST_NAME: Final = 32


class RewardTerms(Struct, frozen=True):
    """The stock of a reward, null for no limit, and whether it is withheld."""

    stock: int | None
    suspended: bool


class NextVersion(Struct, frozen=True):
    """A document to publish, and the version that it is: for the countries in which it takes the place of the
    one that it was made from. Terms that are not possible are a problem of the document.
    """

    document: str
    program: Program


def next_version(
    base: Program,
    document: str,
    terms: Mapping[str, RewardTerms],
    published: Sequence[Program],
    *,
    earliest: date,
) -> NextVersion | None:
    """Prepare the version after `base`, with other terms for some of its rewards, from the first day that is
    free. None where no country would be left: newer versions have all of them by then.

    The comments of the document stay. Its examples are left out, because they happen before that day.
    """
    first_day = _first_day(base, published, earliest)
    countries = [
        country
        for country, market in base.countries.items()
        if versions.in_force(published, start_of_day(first_day, market.zone), country) is base
    ]
    if not countries:
        return None
    name = _free_name(base.version, first_day, {version.version for version in published})
    after = replace(
        base,
        version=name,
        in_force_from=first_day,
        countries={country: base.countries[country] for country in countries},
        rewards=[_changed(reward, terms) for reward in base.rewards],
        examples=[],
    )
    return NextVersion(_edited(document, after), after)


def _first_day(base: Program, published: Sequence[Program], earliest: date) -> date:
    taken = {
        version.in_force_from for version in published if version.countries.keys() & base.countries.keys()
    }
    day = max(earliest, base.in_force_from)
    while day in taken:
        day += timedelta(days=1)
    return day


def _free_name(base: str, first_day: date, taken: set[str]) -> str:
    root = _DAY.sub("", base)
    endings = (f"-{first_day}" if n == 1 else f"-{first_day}-{n}" for n in count(1))
    names = (root[: _LONGEST_NAME - len(ending)] + ending for ending in endings)
    return next(name for name in names if name not in taken)


def _changed(reward: AnyReward, terms: Mapping[str, RewardTerms]) -> AnyReward:
    wanted = terms.get(reward.id)
    return reward if wanted is None else replace(reward, stock=wanted.stock, suspended=wanted.suspended)


def _edited(document: str, after: Program) -> str:
    """Write what differs into the text of a document, and leave all else as it was written."""
    text: Any = tomlkit.parse(document)
    text["version"], text["in_force_from"] = after.version, after.in_force_from
    text.pop("examples", None)
    for country in [known for known in text["countries"] if known not in after.countries]:
        del text["countries"][country]
    for table, reward in zip(text.get("rewards", ()), after.rewards, strict=True):
        _set(table, "stock", reward.stock, absent=None)
        _set(table, "suspended", reward.suspended, absent=False)
    return tomlkit.dumps(text)


def _set(table: Any, name: str, value: int | None, *, absent: int | None) -> None:
    if table.get(name, absent) == value:
        return
    if value == absent:
        del table[name]
    else:
        table[name] = value
