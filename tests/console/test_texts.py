"""Each text that a template names is in the catalogue, and the catalogue has no text that nobody names."""

import re

from engage.console.rendering import TEMPLATES
from engage.messages.catalogue import read_catalog

ROOT = TEMPLATES.parent

# `t('layout.menu')`, and the beginning of `t('state.' ~ state)`.
NAMED = re.compile(r"\bt\('([a-z_.]+)'(\s*~)?(\s*,\s*counted=)?")

# Texts that Python chooses, by the value of an enumeration.
CHOSEN = (
    *("done.", "sign_in.", "password.", "problem.", "change.", "field.", "weekday.", "yes", "no"),
    "words.",  # tests/messages/test_program_text.py checks these.
)


def named() -> list[tuple[str, bool, bool]]:
    """(key, whether it is the beginning of keys, whether something is counted) in the templates."""
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.rglob("*.html")))
    return [(key, bool(open_), bool(counted)) for key, open_, counted in NAMED.findall(sources)]


def test_templates_and_the_catalogue_name_the_same_texts() -> None:
    ids = [message.id for message in read_catalog("en") if message.id]
    plural = {id_[0].removeprefix("console.") for id_ in ids if isinstance(id_, tuple | list)}
    keys = {(id_ if isinstance(id_, str) else id_[0]) for id_ in ids}
    console = {key.removeprefix("console.") for key in keys if key.startswith("console.")}
    exact = {key for key, begins, _ in named() if not begins}
    beginnings = tuple({key for key, begins, _ in named() if begins}) + CHOSEN
    assert exact - console == set()
    assert [key for key in beginnings if not any(text.startswith(key) for text in console)] == []
    assert {key for key in console - exact if not key.startswith(beginnings)} == set()
    assert {key for key, begins, counted in named() if counted and not begins} == plural & exact
