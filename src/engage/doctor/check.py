"""The shape of a check: a sentence about what can be wrong, a remedy, and a function that looks for it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

# `error`: something does not work, or points are in danger. `warning`: it will not go well for long.
# `notice`: worth knowing, and nothing to do at once.
Severity = Literal["error", "warning", "notice"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "notice")

# Values for the names in braces of a check's sentence and remedy, one for each thing that is wrong.
Facts = Mapping[str, object]


class Check(Struct, frozen=True):
    """A check of one observation. `sentence` says what is wrong, `remedy` what to do."""

    name: str
    observation: str  # The field of `Observations` that `find` gets.
    severity: Severity
    sentence: str
    remedy: str
    find: Callable[[Any], Iterable[Facts]]


class Finding(Struct, frozen=True):
    """Something that is wrong."""

    check: str
    severity: Severity
    sentence: str
    remedy: str


def findings_of(check: Check, observation: object) -> list[Finding]:
    """Look at an observation."""
    return [
        Finding(check.name, check.severity, check.sentence.format(**facts), check.remedy.format(**facts))
        for facts in check.find(observation)
    ]
