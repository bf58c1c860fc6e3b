"""The valid part of a campaign's document, so that its author sees all mistakes at once.

Fields that do not match are left out, or others stand in for them. Problems that may come of that are not
shown.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from engage.domain.campaigns.definition import Campaign
from engage.domain.document.decoding import Notation, mismatches
from engage.domain.document.errors import Problem
from engage.domain.document.rest import rest_of

_TYPES: Final = {field.encode_name: field.type for field in msgspec.structs.fields(Campaign)}
_STAND_INS: Final = {"id": "campaign", "title": {"en": "Campaign"}}
_TIMES: Final = ("from", "until")
_SOME_TIME: Final = "2000-01-01T00:00:00"

# Fields that name what others of these define, and the examples, which name anything.
_DEFINING: Final = ("rules", "quizzes", "challenges", "games", "draws", "leaderboards")
_NAMING: Final = ("boosts", *_DEFINING)


class PartialCampaign(Struct, frozen=True):
    """A document, and the paths of the fields that are left out or stood in for."""

    campaign: Campaign
    left_out: list[str]

    def shown(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems of the document that do not come of what is left out."""
        return [problem for problem in problems if not self._is_doubtful(problem.path)]

    def _is_doubtful(self, path: str) -> bool:
        top = _top(path)
        if top == "examples" or any(
            _is_within(path, each) or _is_within(each, path) for each in self.left_out
        ):
            return True
        return top in _NAMING and any(_top(each) in _DEFINING for each in self.left_out)


def partial_campaign(document: object, *, notation: Notation) -> PartialCampaign | None:
    """None where too little is left, such as without a program."""
    if not isinstance(document, dict):
        return None
    stand_ins = _stand_ins(document, notation)
    rest = rest_of(document | stand_ins, Campaign, notation=notation)
    if rest is None:
        return None
    return PartialCampaign(msgspec.convert(rest.value, Campaign), [*stand_ins, *rest.left_out])


def _stand_ins(document: dict[str, Any], notation: Notation) -> dict[str, object]:
    """Values for needed fields that are missing or do not match. Where one of the times is, both are the
    same: an end that is no later than the beginning is not a time to look anything up for.
    """
    bad = {
        name
        for name in (*_STAND_INS, *_TIMES)
        if name not in document or mismatches(document[name], _TYPES[name], notation=notation, most=1)
    }
    found: dict[str, object] = {name: value for name, value in _STAND_INS.items() if name in bad}
    if bad.intersection(_TIMES):
        time = next((document[name] for name in _TIMES if name not in bad), _SOME_TIME)
        found |= dict.fromkeys(_TIMES, time)
    return found


def _is_within(path: str, whole: str) -> bool:
    return path == whole or path.startswith((f"{whole}.", f"{whole}["))


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]
