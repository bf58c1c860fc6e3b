"""The life of a campaign: states and times in force, as a fold over what operators did.

What follows from time alone is stored nowhere: a campaign begins and ends by its document.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from engage.domain.campaigns.definition import Campaign

State = Literal["draft", "submitted", "scheduled", "running", "paused", "ended"]
ActionKind = Literal["created", "changed", "submitted", "rejected", "approved", "paused", "resumed", "ended"]

# Actions that change what is in force. They are effective from a whole second on that is so far ahead that
# each process knows of them by then: they commit within COMMITS_WITHIN, and a process that decides has read
# them within READ_WITHIN.
EFFECTIVE: Final[frozenset[ActionKind]] = frozenset({"approved", "paused", "resumed", "ended"})
COMMITS_WITHIN: Final = timedelta(milliseconds=500)
READ_WITHIN: Final = timedelta(milliseconds=400)
DELAY: Final = timedelta(seconds=1)

# The states in which an action is possible: of the newest version, or of the one that was approved last, or
# where none was of the newest, which `ended` withdraws.
WITH_NEWEST: Final[Mapping[ActionKind, frozenset[State]]] = {
    "submitted": frozenset({"draft"}),
    "rejected": frozenset({"submitted"}),
    "approved": frozenset({"submitted"}),
}
WITH_LIVE: Final[Mapping[ActionKind, frozenset[State]]] = {
    "paused": frozenset({"scheduled", "running"}),
    "resumed": frozenset({"paused"}),
    "ended": frozenset({"draft", "submitted", "scheduled", "running", "paused"}),
}


def effective_at(at: datetime) -> datetime:
    """The instant from which on an action of `at` is in force everywhere: a whole second, within two."""
    later = at + DELAY
    whole = later.replace(microsecond=0)
    return whole if whole == later else whole + timedelta(seconds=1)


class Action(Struct, frozen=True, kw_only=True):
    """An operator's deed with a version of a campaign, in the order of `number`."""

    number: int
    kind: ActionKind
    version: int
    at: datetime
    effective_at: datetime
    operator: str
    reason: str | None = None


class Interval(Struct, frozen=True):
    """A time in which a version is in force, within the times of its document: [start, end)."""

    version: int
    start: datetime
    end: datetime | None

    def contains(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


def intervals(actions: Iterable[Action]) -> list[Interval]:
    """The times in which versions are approved, and neither paused nor ended nor replaced."""
    found: list[Interval] = []
    version: int | None = None
    since: datetime | None = None
    paused = False
    for action in sorted(actions, key=lambda action: action.number):
        if action.kind not in EFFECTIVE:
            continue
        at = action.effective_at
        if since is not None and version is not None and at > since:
            found.append(Interval(version, since, at))
        match action.kind:
            case "approved":
                version = action.version
            case "paused":
                paused = True
            case "resumed":
                paused = False
            case "ended":
                return found
        since = None if paused or version is None else at
    if since is not None and version is not None:
        found.append(Interval(version, since, None))
    return found


def live_version(actions: Sequence[Action]) -> int | None:
    """The version that was approved last, which is in force within its times unless it is paused or ended."""
    return next((action.version for action in reversed(actions) if action.kind == "approved"), None)


def newest_version(actions: Sequence[Action]) -> int:
    return max(action.version for action in actions)


def is_rejected(actions: Sequence[Action]) -> bool:
    """Tell whether the newest version is a draft because it was rejected, and nobody has changed it since."""
    newest = newest_version(actions)
    steps = [action.kind for action in actions if action.version == newest and action.kind not in WITH_LIVE]
    return steps[-1] == "rejected"


def state_of(
    actions: Sequence[Action], version: int, campaign: Campaign, *, now: datetime, zones: Sequence[str]
) -> State:
    """The state of a version, as it will be when all actions so far are effective. `zones` are those of the
    program's countries that the campaign is for. A version that another one has replaced is over, also if it
    was never approved, and so are all versions of a campaign that was ended.
    """
    now = max([now, *(action.effective_at for action in actions)])
    if any(action.kind == "ended" for action in actions):
        return "ended"
    own = [action for action in actions if action.version == version]
    if not any(action.kind == "approved" for action in own):
        if version != newest_version(actions):
            return "ended"
        steps = [action.kind for action in own if action.kind not in WITH_LIVE]
        return "submitted" if steps[-1] == "submitted" else "draft"
    if version != live_version(actions):
        return "ended"
    steps = [action.kind for action in actions if action.kind in ("paused", "resumed")]
    if now >= campaign.last_instant(zones):
        return "ended"
    if steps and steps[-1] == "paused":
        return "paused"
    return "scheduled" if now < campaign.first_instant(zones) else "running"
