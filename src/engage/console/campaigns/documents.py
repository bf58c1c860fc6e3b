"""Documents of campaigns as text and as fields of a form, with every mistake at its place."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, Final

import msgspec

from engage.console.forms import Form
from engage.console.mistakes import Refused, mistakes_of
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.parse import from_value
from engage.domain.document.compact import compact
from engage.domain.document.decoding import JSON, TOML, Notation
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.program.parse import toml_table
from engage.flows.campaigns.check import check_document, check_rest
from engage.runtime.services import Services

# Fields of the form, by the way in which they are read. Their names are paths of the document.
_MOMENTS: Final = ("from", "until")
_NUMBERS: Final = ("holdout_percent",)
_AUDIENCE_LISTS: Final = ("countries", "tiers", "segments")
_BUDGET: Final = ("points", "points_per_member", "count", "per_device")
_BOOST_LISTS: Final = ("rules", "products", "categories", "channels", "weekdays")
_BOOST_NUMBERS: Final = ("multiply", "add", "min_amount_minor")

# Boosts that the form shows at most; a document may have more.
BOOSTS_IN_FORM: Final = 12


def text_of(document: Campaign) -> str:
    """The TOML of a document, as a person would write it."""
    return msgspec.toml.encode(compact(document, keep=(datetime, date, time))).decode()


async def read_text(services: Services, text: str) -> Campaign:
    """Read a document in TOML. Raises Refused; Unavailable."""
    try:
        value = toml_table(text, source="")
    except DocumentError as error:
        raise refused(error.problems, text) from None
    return await _read(services, value, TOML, text)


async def read_fields(services: Services, value: Mapping[str, Any]) -> Campaign:
    """Read a document whose fields came from a form. Raises Refused; Unavailable."""
    return await _read(services, dict(value), JSON, "")


def refused(problems: Iterable[Problem], text: str = "") -> Refused:
    return Refused(mistakes_of(text, problems))


async def _read(services: Services, value: dict[str, Any], notation: Notation, text: str) -> Campaign:
    try:
        campaign = from_value(value, source="", notation=notation)
    except DocumentError as error:
        problems = await check_rest(services, value, error.problems, notation=notation)
        raise refused(problems, text) from None
    try:
        await check_document(services, campaign)
    except DocumentError as error:
        raise refused(error.problems, text) from None
    return campaign


def with_fields(document: Mapping[str, Any], form: Form, language: str) -> dict[str, Any]:
    """A document, as JSON, with the fields of a form in it. What the form does not show stays as it is; an
    empty field is left out.
    """
    changed = dict(document)
    changed["title"] = dict(document.get("title", {})) | {language: form.text("title")}
    for name in _MOMENTS:
        _set(changed, name, form.moment(name))
    _set(changed, "zone", form.text("zone"))
    for name in _NUMBERS:
        _set(changed, name, _number(form.text(name)))
    changed["audience"] = _audience(dict(document.get("audience", {})), form)
    changed["budget"] = _budget(dict(document.get("budget") or {}), form)
    changed["boosts"] = _boosts(list(document.get("boosts", [])), form)
    for name in ("audience", "budget", "boosts"):
        if not changed[name]:
            del changed[name]
    return changed


def _audience(audience: dict[str, Any], form: Form) -> dict[str, Any]:
    for name in _AUDIENCE_LISTS:
        _set(audience, name, _list(form, f"audience.{name}"))
    _set(audience, "percent", _number(form.text("audience.percent")))
    _set(audience, "first_order", bool(form.text("audience.first_order")) or None)
    days = form.text("audience.no_order_for")
    _set(audience, "no_order_for", f"P{days}D" if days else None)
    return audience


def _budget(budget: dict[str, Any], form: Form) -> dict[str, Any]:
    for name in _BUDGET:
        _set(budget, name, _number(form.text(f"budget.{name}")))
    return budget if any(name in budget for name in _BUDGET) else {}


def _boosts(boosts: list[dict[str, Any]], form: Form) -> list[dict[str, Any]]:
    found = []
    for n in range(min(len(boosts) + 1, BOOSTS_IN_FORM)):
        path = f"boosts[{n}]"
        if form.text(f"{path}.id") and not form.text(f"{path}.remove"):
            found.append(_boost(dict(boosts[n]) if n < len(boosts) else {}, path, form))
    return found + boosts[BOOSTS_IN_FORM:]


def _boost(boost: dict[str, Any], path: str, form: Form) -> dict[str, Any]:
    boost["id"] = form.text(f"{path}.id")
    for name in _BOOST_LISTS:
        _set(boost, name, _list(form, f"{path}.{name}"))
    for name in _BOOST_NUMBERS:
        _set(boost, name, _number(form.text(f"{path}.{name}")))
    hours = [form.text(f"{path}.hours[{n}]") for n in (0, 1)]
    _set(boost, "hours", hours if any(hours) else None)
    return boost


def _list(form: Form, name: str) -> list[str]:
    """Boxes that are ticked, or words that are separated by commas."""
    return [part.strip() for value in form.texts(name) for part in value.split(",") if part.strip()]


def _number(text: str) -> int | float | str | None:
    """A number; a text that is none stays as it is, for the document's reader to refuse."""
    plain = text.replace("\N{NO-BREAK SPACE}", "").replace(" ", "").replace(",", ".")
    if not plain:
        return None
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        return float(plain)
    except ValueError:
        return text


def _set(fields: dict[str, Any], name: str, value: Any) -> None:
    if value in (None, "", []):
        fields.pop(name, None)
    else:
        fields[name] = value
