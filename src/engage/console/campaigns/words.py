"""Differences between two versions of a campaign, in words."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engage.console.formats import Shows
from engage.domain.document.difference import Difference, differences
from engage.domain.document.texts import text_in
from engage.messages.catalogue import known, translate

_BOOST: Final = re.compile(r"boosts\[(\d+)\]")
_INDEX: Final = re.compile(r"\[\d+\]")

# Numbers that have a sentence of their own.
_COUNTRIES: Final = "audience.countries"
_TIMES: Final = "boosts.multiply"
_TABLES: Final = frozenset({"audience", "budget"})
_MOMENTS: Final = frozenset({"from", "until", "audience.joined_before", "audience.joined_after"})

Document = Mapping[str, Any]


def changes(before: Document, after: Document, rules: Mapping[str, str], language: str) -> list[str]:
    """The fields that differ, each in a sentence. `rules` are titles by id. Examples are no rules: that they
    differ is enough.
    """
    found = [part for each in differences(dict(before), dict(after)) for part in _parts(each)]
    sentences = [
        _sentence(each, before, after, rules, language)
        for each in found
        if not each.field.startswith("examples")
    ]
    if any(each.field.startswith("examples") for each in found):
        sentences.append(translate("console.change.examples", language, {}))
    return sentences


def _parts(change: Difference) -> Sequence[Difference]:
    """A table that is new or gone, as the fields in it."""
    table = change.theirs if change.yours is None else change.yours
    if change.field not in _TABLES or not isinstance(table, Mapping):
        return [change]
    is_new = change.yours is None
    return [
        Difference(f"{change.field}.{name}", None if is_new else value, value if is_new else None)
        for name, value in table.items()
    ]


def field_name(field: str, document: Document, rules: Mapping[str, str], language: str) -> str:
    """The name of a field as the form has it; its path where it has none."""
    titles = _about(field, document, document, rules)
    return _with_titles(field, _INDEX.sub("", field), titles, language)


def shown(field: str, value: Any, rules: Mapping[str, str], language: str) -> str:
    """A value of a field as text, empty for None."""
    return _shown(value, _INDEX.sub("", field), rules, language)


def title_of_boost(boost: Document, rules: Mapping[str, str], language: str) -> str:
    """For which rules a boost pays, and how much more. Empty for a boost without rules."""
    about = ", ".join(rules.get(rule, rule) for rule in boost.get("rules", []))
    number = Shows(language).number
    match boost:
        case {"multiply": int() | float() as times}:
            return f"{about} × {number(times)}"
        case {"add": int() as points}:
            return f"{about} + {number(points)}"
    return about


def _sentence(
    change: Difference, before: Document, after: Document, rules: Mapping[str, str], language: str
) -> str:
    pattern = _INDEX.sub("", change.field)
    facts = {
        "field": _label(change.field, pattern, before, after, rules, language),
        "before": _shown(change.yours, pattern, rules, language),
        "after": _shown(change.theirs, pattern, rules, language),
    }
    if change.yours is None:
        kind = "added"
    elif change.theirs is None:
        kind = "removed"
    else:
        kind = "times" if pattern == _TIMES else "changed"
    return translate(f"console.change.{kind}", language, facts)


def _label(
    field: str, pattern: str, before: Document, after: Document, rules: Mapping[str, str], language: str
) -> str:
    """The subject of a change. Where it is a boost or its multiplier, its rules say enough."""
    titles = _about(field, before, after, rules)
    if titles and pattern in (_TIMES, "boosts"):
        return titles
    return _with_titles(field, pattern, titles, language)


def _with_titles(field: str, pattern: str, titles: str, language: str) -> str:
    key = f"console.field.{pattern}"
    name = translate(key, language, {}) if known(key) else field
    return f"{name} ({titles})" if titles else name


def _about(field: str, before: Document, after: Document, rules: Mapping[str, str]) -> str:
    """The rules of the boost that a field belongs to: these are what marketers know."""
    boost = _BOOST.match(field)
    if boost is None:
        return ""
    return ", ".join(rules.get(rule, rule) for rule in _rules_of(int(boost[1]), before, after))


def _rules_of(number: int, before: Document, after: Document) -> Sequence[str]:
    for document in (after, before):
        boosts = document.get("boosts", [])
        if number < len(boosts):
            found: Sequence[str] = boosts[number].get("rules", [])
            return found
    return []


def _shown(value: Any, pattern: str, rules: Mapping[str, str], language: str) -> str:
    shows = Shows(language)
    match value:
        case None:
            return ""
        case str() if pattern in _MOMENTS:
            return shows.local(datetime.fromisoformat(value))
        case str() if pattern == _COUNTRIES:
            return shows.country(value)
        case bool():
            return translate(f"console.{'yes' if value else 'no'}", language, {})
        case int() | float():
            return shows.number(value)
        case dict() if all(isinstance(text, str) for text in value.values()) and pattern == "title":
            return text_in(value, language)
        case dict():
            return ", ".join(f"{name} {_shown(each, name, rules, language)}" for name, each in value.items())
        case list():
            return ", ".join(_shown(each, pattern, rules, language) for each in value)
        case _:
            return rules.get(str(value), str(value))
