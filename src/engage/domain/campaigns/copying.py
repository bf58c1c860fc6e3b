"""A copy of a campaign under another id, for other days if it should be. Pure.

Ids of rules and definitions are for ever, and each is one campaign's, so those of the copy are other ones.
Examples name what the copy has, at times that are moved with it.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.parse import from_value
from engage.domain.document.decoding import JSON
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.program.kinds import KINDS

_LONGEST: Final = 48

# Source keys with a day, a month or a week of the examples' times.
_DATED: Final = re.compile(r"\d{4}-(\d\d|W)")

# The fields that name a rule, or a definition as the rule of its credits; and those of actions, by kind.
_RULE_FIELDS: Final = frozenset({"rule", "rules", "score"})
_NAMED_BY: Final = {f"{kind.name}_id": kind for kind in KINDS}


def copied(campaign: Campaign, new_id: str, begin: datetime | None = None) -> Campaign:
    """A copy that begins at `begin`, with all its other times as far away from that as they were from the
    first beginning. Raises DocumentError for an instant where the campaign has local times, and the other
    way round, for a time that is too late, and for an id that no campaign can have.
    """
    shift = timedelta()
    if begin is not None:
        if (begin.tzinfo is None) != (campaign.from_.tzinfo is None):
            wanted = "a local time" if campaign.from_.tzinfo is None else "an instant"
            expected = f"{wanted}, as from of the campaign ({campaign.from_.isoformat()})"
            raise DocumentError("", [Problem("from", expected, begin.isoformat())])
        shift = begin - campaign.from_
    document = msgspec.to_builtins(campaign, builtin_types=(datetime, date))
    names = _names(campaign, new_id)
    for kind in KINDS:
        for definition in document[kind.plural]:
            definition["id"] = names.rules[kind.rule_id(definition["id"])].removeprefix(f"{kind.name}:")
    for rule in document["rules"]:
        rule["id"] = names.rules[rule["id"]]
    try:
        moved: dict[str, Any] = _copied(document, "", names, shift)
    except OverflowError:
        raise DocumentError("", [Problem("from", "a time long before the year 10000", str(begin))]) from None
    return from_value(moved | {"id": new_id}, source="", notation=JSON)


class _Names(Struct, frozen=True):
    """New names by old ones: of rules and of definitions as rules; and the ids of the campaign."""

    rules: Mapping[str, str]
    old_id: str
    new_id: str


def _names(campaign: Campaign, new_id: str) -> _Names:
    found = {}
    ending = re.sub(r"[^a-z0-9]+", "_", new_id.lower())
    for rule in campaign.rules:
        found[rule.id] = f"{rule.id[: _LONGEST - 1 - len(ending)]}_{ending}"[:_LONGEST]
    for kind in KINDS:
        definitions = kind.of(campaign)
        for n, definition in enumerate(definitions, start=1):
            number = f"-{n}" if len(definitions) > 1 else ""
            found[kind.rule_id(definition.id)] = kind.rule_id(new_id[: _LONGEST - len(number)] + number)
    return _Names(found, campaign.id, new_id)


def _copied(value: Any, name: str, names: _Names, shift: timedelta) -> Any:
    """A value of the document, which the field `name` has."""
    match value:
        case dict():
            copies = {key: _copied(item, key, names, shift) for key, item in value.items()}
            return {key: copy for key, copy in copies.items() if key != "source_key" or copy is not None}
        case list():
            return [_copied(item, name, names, shift) for item in value]
        case datetime() | date():
            return value + shift
        case str() if name in _RULE_FIELDS:
            return names.rules.get(value, value)
        case str() if name in _NAMED_BY:
            kind = _NAMED_BY[name]
            rule = kind.rule_id(value)
            return names.rules.get(rule, rule).removeprefix(f"{kind.name}:")
        case str() if name == "source_key":
            return _source_key(value, names, shift)
        case _:
            return value


def _source_key(key: str, names: _Names, shift: timedelta) -> str | None:
    """The source key that an example expects; None where it would name another day."""
    if shift and _DATED.search(key):
        return None
    base, plus, boost = key.rpartition("+")
    key = f"{base}+{names.new_id}" if plus and boost == names.old_id else key
    for old, new in names.rules.items():
        if re.match(rf"{re.escape(old)}(?![A-Za-z0-9_-])", key):
            return new + key[len(old) :]
    return key
