"""The life of a campaign in plain words: states, versions, times in force and the log, from what was done.

It knows nothing of the implementation: it is the page of the contract and docs/campaigns.md once more.
"""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

# The states from which an action is possible, of the newest version and of the live one.
OF_NEWEST: Final = {"submit": ("draft",), "approve": ("submitted",), "reject": ("submitted",)}
OF_LIVE: Final = {
    "pause": ("scheduled", "running"),
    "resume": ("paused",),
    "end": ("draft", "submitted", "scheduled", "running", "paused"),
}
LOGGED: Final = {
    "submit": "submitted",
    "approve": "approved",
    "reject": "rejected",
    "pause": "paused",
    "resume": "resumed",
    "end": "ended",
}
ACTIONS: Final = tuple(LOGGED)


class ModelVersion(Struct):
    """`begin` and `end` are instants: the campaign has a zone of its own."""

    number: int
    title: str
    begin: datetime
    end: datetime
    authors: set[str]
    revision: int = 1
    approved: bool = False
    submitted: bool = False
    rejected: bool = False

    @property
    def tag(self) -> str:
        return f'"{self.number}.{self.revision}"'


class LogEntry(Struct, frozen=True):
    """`state` is that after an action; None for what was written."""

    operator: str
    action: str
    version: int
    state: str | None = None


class Refused(Exception):
    """An action that is not possible: status, code, and the state that the refusal names."""

    def __init__(self, status: int, code: str, state: str | None = None) -> None:
        super().__init__(status, code, state)
        self.status = status
        self.code = code
        self.state = state


class CampaignModel:
    """A campaign. `effects` are what changed what is in force, each with its instant."""

    def __init__(self, first: ModelVersion) -> None:
        (author,) = first.authors
        self.versions = [first]
        self.effects: list[tuple[datetime, str, int]] = []
        self.log = [LogEntry(author, "created", 1)]
        self.tags = [first.tag]

    @property
    def newest(self) -> ModelVersion:
        return self.versions[-1]

    @property
    def live(self) -> ModelVersion | None:
        return next((version for version in reversed(self.versions) if version.approved), None)

    def state(self, version: ModelVersion, now: datetime) -> str:
        """The state that a version will be in when all that was done is effective."""
        now = max([now, *(at for at, _, _ in self.effects)])
        kinds = [kind for _, kind, _ in self.effects]
        live = self.live
        if "end" in kinds or (live is not None and now >= live.end):
            return "ended"
        if version is not live and version is not self.newest:
            return "ended"
        if not version.approved:
            return "submitted" if version.submitted else "draft"
        pauses = [kind for kind in kinds if kind in ("pause", "resume")]
        if pauses and pauses[-1] == "pause":
            return "paused"
        return "scheduled" if now < version.begin else "running"

    def words(self, now: datetime) -> set[str]:
        """The words for a state by which it is found."""
        found = {self.state(version, now) for version in (self.live or self.newest, self.newest)}
        if found & {"scheduled", "running", "paused"}:
            found.add("approved")
        if self.newest.rejected and self.state(self.newest, now) == "draft":
            found.add("rejected")
        return found

    def in_force(self, at: datetime) -> int | None:
        """The number of the version in force at an instant."""
        version, paused = None, False
        for effective, kind, number in self.effects:
            if effective > at:
                break
            if kind == "end":
                return None
            version = number if kind == "approve" else version
            paused = kind == "pause" or (paused and kind != "resume")
        if version is None or paused:
            return None
        found = self.versions[version - 1]
        return version if found.begin <= at < found.end else None

    def put(self, written: ModelVersion, operator: str, tag: str | None, now: datetime) -> ModelVersion:
        """Raises Refused."""
        newest = self.newest
        if tag is None:
            raise Refused(428, "if_match_required")
        if self.state(newest, now) == "ended":
            raise Refused(409, "wrong_state", "ended")
        if tag != newest.tag:
            raise Refused(412, "changed_meanwhile")
        if not newest.approved:
            written.authors = newest.authors | written.authors
        if self.state(newest, now) == "draft":
            written.number, written.revision = newest.number, newest.revision + 1
            self.versions[-1] = written
        else:
            written.number = newest.number + 1
            self.versions.append(written)
        self.tags.append(written.tag)
        self.log.append(LogEntry(operator, "created" if written.revision == 1 else "changed", written.number))
        return written

    def act(self, action: str, operator: str, now: datetime) -> tuple[str, int]:
        """Return the state after an action, and its version. Raises Refused."""
        whole = (now + timedelta(seconds=1, microseconds=999_999)).replace(microsecond=0)
        version = self.newest if action in OF_NEWEST else self.live or self.newest
        state = self.state(version, now)
        if state not in (OF_NEWEST | OF_LIVE)[action]:
            raise Refused(409, "wrong_state", state)
        if action in ("submit", "approve") and version.end <= (whole if action == "approve" else now):
            raise Refused(422, "invalid_document")
        if action == "approve" and operator in version.authors:
            raise Refused(403, "four_eyes")
        version.submitted, version.rejected = action == "submit", action == "reject"
        version.approved = version.approved or action == "approve"
        if action in ("approve", "pause", "resume", "end"):
            effective = max([whole, *(at for at, _, _ in self.effects)])
            self.effects.append((effective, action, version.number))
        after = self.state(version, now)
        self.log.append(LogEntry(operator, LOGGED[action], version.number, after))
        return after, version.number
