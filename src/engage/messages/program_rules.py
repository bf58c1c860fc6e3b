"""The rules of a program as sentences for members: how much, how often, when, and until when."""

from collections.abc import Mapping
from datetime import date, time, timedelta
from typing import Any, Final

import msgspec
from babel.dates import format_skeleton
from babel.units import format_unit
from msgspec import Struct

from engage.domain.accounts.expiry import EndOfYear, Expiry, Yearly
from engage.domain.document.durations import iso_duration
from engage.domain.document.fields import DocumentStruct
from engage.domain.earning.awards import Award, Brackets
from engage.domain.earning.due import After, Due, OnConfirmation
from engage.domain.earning.limits import Limit, OncePer, PerWindow, SameAs
from engage.domain.earning.unit import POINTS, Unit
from engage.domain.money import Money
from engage.messages.catalogue import locale_of, show, translate

# The fact that selects the plural form of a sentence.
COUNTED: Final[Mapping[str, str]] = {
    "award.fixed": "points",
    "award.every_nth_day": "points",
    "award.per_spend": "points",
    "award.bracket": "points",
    "limit.per_window.day": "count",
    "limit.per_window.month": "count",
    "limit.first_orders": "count",
    "expiry.rolling": "months",
    "expiry.end_of_year.later": "years_later",
}

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class Term(Struct, frozen=True):
    """A term of a rule: its type and facts as in the program's document, and a sentence in the language of
    `Accept-Language`.
    """

    type: str
    facts: dict[str, Any]
    text: str


def award_term(award: Award, unit: Unit, language: str, currency: str) -> Term:
    text = _award(award, language, currency)
    return _term(award, text if unit == POINTS else _sentence("award.status", {"award": text}, language))


def _award(award: Award, language: str, currency: str) -> str:
    match award:
        case Brackets(brackets=brackets):
            return show(
                [_sentence("award.bracket", _facts(line), language, currency) for line in brackets], language
            )
        case _:
            return _sentence(f"award.{_type(award)}", _facts(award), language, currency)


def limit_term(limit: Limit, language: str, titles: Mapping[str, str]) -> Term:
    """`titles`: those of the rules, by id."""
    facts = _facts(limit)
    match limit:
        case PerWindow(window=window):
            return _term(limit, _sentence(f"limit.per_window.{window}", facts, language))
        case OncePer(field=field):
            return _term(limit, _sentence(f"limit.once_per.{field}", facts, language))
        case SameAs(rule=rule):
            return _term(limit, _sentence("limit.same_as", {"rule": titles[rule]}, language))
        case _:
            return _term(limit, _sentence(f"limit.{_type(limit)}", facts, language))


def due_term(due: Due, language: str) -> Term:
    match due:
        case After(delay=delay) if not delay:
            return _term(due, _sentence("due.at_once", {}, language))
        case OnConfirmation(delay=delay) if delay:
            return _term(due, _sentence("due.on_confirmation.later", _durations(due, language), language))
        case _:
            return _term(due, _sentence(f"due.{_type(due)}", _durations(due, language), language))


def _durations(due: Due, language: str) -> dict[str, str]:
    return {
        name: _duration(value, language)
        for name, value in msgspec.structs.asdict(due).items()
        if isinstance(value, timedelta)
    }


def expiry_term(expiry: Expiry, language: str) -> Term:
    match expiry:
        case Yearly(month=month, day=day, at=at):
            shown = _day_and_time(month, day, at, language)
            return _term(expiry, _sentence("expiry.yearly", shown, language))
        case EndOfYear(years_later=0 | 1 as years):
            which = ("this", "next")[years]
            return _term(expiry, _sentence(f"expiry.end_of_year.{which}", {}, language))
        case EndOfYear():
            return _term(expiry, _sentence("expiry.end_of_year.later", _facts(expiry), language))
        case _:
            return _term(expiry, _sentence(f"expiry.{_type(expiry)}", _facts(expiry), language))


def _term(kind: DocumentStruct, text: str) -> Term:
    return Term(_type(kind), _facts(kind), text)


def _type(kind: DocumentStruct) -> str:
    return str(kind.__struct_config__.tag)


def _facts(kind: DocumentStruct) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(kind)
    facts.pop("type", None)
    durations = {
        name: iso_duration(value)
        for name, value in msgspec.structs.asdict(kind).items()
        if isinstance(value, timedelta)
    }
    return facts | durations


def _sentence(key: str, facts: Mapping[str, Any], language: str, currency: str = "") -> str:
    shown = {
        name: Money(value, currency) if name.endswith("_minor") else value for name, value in facts.items()
    }
    return translate(f"rule.{key}", language, shown, counted=COUNTED.get(key))


def _day_and_time(month: int, day: int, at: time, language: str) -> dict[str, str]:
    # Any leap year has all days.
    shown = format_skeleton("MMMMd", date(2000, month, day), locale=locale_of(language))
    return {"day": shown, "time": f"{at:%H:%M}"}


def _duration(length: timedelta, language: str) -> str:
    """Write whole seconds in their largest unit."""
    seconds = int(length.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return format_unit(seconds // size, f"duration-{unit}", locale=locale_of(language))
