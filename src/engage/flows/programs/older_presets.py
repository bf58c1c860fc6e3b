"""Presets that have been published by an older release, with other rules than those of this one.

A published version never changes, so new rules of a preset need another version. None change unasked.
`engage up` and the health checks say what is older; `engage program upgrade` shows the differences, and
publishes.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from difflib import unified_diff
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from engage import programs
from engage.domain.program import parse, versions
from engage.domain.program.program import Program
from engage.runtime.program_cache import PUBLISHED_AHEAD
from engage.store.programs import PublishedVersion

_VERSION = re.compile(r"^version = .*$", re.MULTILINE)
_FIRST_DAY = re.compile(r"^in_force_from = .*$", re.MULTILINE)
_EXAMPLES = "[[examples]]"
_SUFFIX = re.compile(r"-r\d+$")


class OlderPreset(Struct, frozen=True):
    """The last version of a program, and the preset of this release that has other rules."""

    program: str
    version: str
    preset: str

    @property
    def notice(self) -> str:
        """Says what is older, and ends with the command that shows the differences."""
        return (
            f"{self.program} {self.version} has the rules of an older release, and keeps them. "
            f"To compare and upgrade: engage program upgrade"
        )


class Upgrade(Struct, frozen=True):
    """A document that gives a program the rules of this release, and how it differs from the last version."""

    older: OlderPreset
    version: str
    in_force_from: date
    document: str
    differences: list[str]


def older_presets(last_versions: Iterable[Program]) -> list[OlderPreset]:
    """Compare the last version of each program with its preset. A program goes its own way if no preset has
    the name of its last version.
    """
    found = []
    for last in last_versions:
        name = programs.newest(last.id)
        if name is None or not _is_preset(last):
            continue
        if _rules(programs.read(name)) != _rules(last):
            found.append(OlderPreset(last.id, last.version, name))
    return found


def upgrades(published: Sequence[PublishedVersion], *, now: datetime) -> list[Upgrade]:
    """Prepare an upgrade of each older preset, to begin on the first day that has not begun anywhere."""
    by_program: dict[str, list[PublishedVersion]] = {}
    for version in published:
        by_program.setdefault(version.program_id, []).append(version)
    made = []
    for of_program in by_program.values():
        last = parse.read(of_program[-1].document, source=of_program[-1].version)
        made += [_upgrade(older, last, of_program, now=now) for older in older_presets([last])]
    return made


def _upgrade(
    older: OlderPreset, last: Program, published: Sequence[PublishedVersion], *, now: datetime
) -> Upgrade:
    preset = programs.read(older.preset)
    version = _free_name(preset.version, {known.version for known in published})
    first_day = max(
        preset.in_force_from,
        last.in_force_from + timedelta(days=1),
        versions.first_day(preset, after=now + PUBLISHED_AHEAD),
    )
    document = _document(programs.text(older.preset), version, first_day)
    before, after = (_without_examples(text).splitlines() for text in (published[-1].document, document))
    names = f"{older.program} {older.version}, published", f"{older.program} {version}, of this release"
    differences = unified_diff(before, after, *names, n=2, lineterm="")
    return Upgrade(older, version, first_day, document, list(differences))


def _document(preset: str, version: str, first_day: date) -> str:
    """Change a preset's version and first day. Its examples play on days before, so they are left out."""
    document = _VERSION.sub(f'version = "{version}"', _without_examples(preset), count=1)
    document = _FIRST_DAY.sub(f"in_force_from = {first_day}", document, count=1)
    made, meant = (parse.read(text, source=version) for text in (document, preset))
    assert made == replace(meant, version=version, in_force_from=first_day, examples=made.examples)
    return document


def _without_examples(document: str) -> str:
    """Cut off the examples, which come last, and the comments above them."""
    lines = document.partition(_EXAMPLES)[0].splitlines()
    while lines and (not lines[-1].strip() or lines[-1].startswith("#")):
        lines.pop()
    return "\n".join([*lines, ""])


def _free_name(version: str, taken: set[str]) -> str:
    if version not in taken:
        return version
    return next(name for n in count(2) if (name := f"{version}-r{n}") not in taken)


def _is_preset(program: Program) -> bool:
    return f"{program.id}/{_SUFFIX.sub('', program.version)}" in programs.names()


def _rules(program: Program) -> Program:
    """A program without the fields in which its versions differ."""
    return replace(program, version="", in_force_from=date.min, source=None, examples=[])
