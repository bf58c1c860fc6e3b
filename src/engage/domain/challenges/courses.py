"""The course of a challenge: its editions one after the other, and the runs that they make.

A run is a challenge in one period, or once for ever. It goes on under the edition that it began with. Of
later editions a running one takes the end alone: it may be later, or earlier, but not earlier than when that
was said.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from msgspec import Struct

from engage.domain.calendar import Period, local_date, period
from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.interest import interest_of
from engage.domain.definitions.definition import BEGINNING, END

# Days in zones of which a course remembers the runs.
DAYS_KEPT: Final = 2_000


class Edition(Struct, frozen=True):
    """A version of a challenge, in force from `since` until the next one is. Without a definition there is no
    challenge from then on.
    """

    since: datetime
    version: str
    definition: Challenge | None


class Run(Struct, frozen=True):
    """A challenge in one period: [begins_at, ends_at). END where no end is known. `label` names the period,
    once for a challenge.
    """

    challenge: Challenge
    version: str
    label: str
    begins_at: datetime
    ends_at: datetime

    @property
    def id(self) -> str:
        return self.challenge.id


class Course:
    """The editions of one challenge, oldest first, at least one with a definition. For one country."""

    def __init__(self, editions: Sequence[Edition]) -> None:
        self._editions = tuple(editions)
        self._definitions = [e.definition for e in editions if e.definition is not None]
        self._runs: dict[tuple[str, date], list[Run]] = {}
        self.interest = interest_of(self._definitions)

    @property
    def newest(self) -> Challenge:
        """The newest edition that has a definition: the challenge has its title."""
        return self._definitions[-1]

    def begins_at(self, zone: str) -> datetime:
        """The first instant that any run can count."""
        return min(
            max(e.since, e.definition.begins_at(zone)) for e in self._editions if e.definition is not None
        )

    def counts_since(self, horizon: datetime, zone: str) -> datetime | None:
        """The first instant that counts for a run which is not over by then; None where there is none."""
        running = self.runs_at(horizon, zone)
        if running:
            return min(run.begins_at for run in running)
        closes_at = max(self._closes_at(n, zone) for n in range(len(self._editions)))
        return max(horizon, self.begins_at(zone)) if closes_at > horizon else None

    def runs_at(self, at: datetime, zone: str) -> list[Run]:
        """The runs that an instant belongs to in a zone: one, none, or two where the period was changed."""
        return self.runs_on(local_date(at, zone), at, zone)

    def runs_on(self, day: date, at: datetime, zone: str) -> list[Run]:
        """The same for an instant whose local day is known."""
        runs = self._runs.get((zone, day))
        if runs is None:
            runs = self._runs_around(at, zone)
        return [run for run in runs if run.begins_at <= at < run.ends_at]

    def last_run(self, at: datetime, zone: str) -> Run | None:
        """The run at an instant, or else the last one that was closed before it."""
        runs = self.runs_at(at, zone)
        if not runs:
            closed = {self._closes_at(n, zone) for n in range(len(self._editions))}
            ends = [end for end in closed if BEGINNING < end <= at]
            before = [run for end in ends for run in self._runs_around(end - datetime.resolution, zone)]
            runs = [run for run in before if run.ends_at <= at]
        return max(runs, key=lambda run: run.begins_at, default=None)

    def _runs_around(self, at: datetime, zone: str) -> list[Run]:
        """The runs of all periods that contain an instant. Kept: many facts have a day in common."""
        key = (zone, local_date(at, zone))
        if key not in self._runs:
            if len(self._runs) >= DAYS_KEPT:
                self._runs.clear()
            periods = {kind: period(kind, at, zone) for kind in {d.period for d in self._definitions}}
            runs: dict[str, Run] = {}
            for n, edition in enumerate(self._editions):
                if edition.definition is not None:
                    run = self._run(n, edition, edition.definition, periods[edition.definition.period], zone)
                    if run is not None:
                        runs.setdefault(run.label, run)
            self._runs[key] = list(runs.values())
        return self._runs[key]

    def _run(self, n: int, edition: Edition, definition: Challenge, within: Period, zone: str) -> Run | None:
        """The run of an edition in a period; None if it has not begun before the next edition came, or before
        its end.
        """
        begins_at = max(within.start or BEGINNING, edition.since, definition.begins_at(zone))
        ends_at = min(within.end or END, self._closes_at(n, zone))
        next_since = self._editions[n + 1].since if n + 1 < len(self._editions) else END
        if begins_at >= min(next_since, ends_at):
            return None
        return Run(definition, edition.version, within.label, begins_at, ends_at)

    def _closes_at(self, n: int, zone: str) -> datetime:
        """The end of what began under an edition, by what the later ones say."""
        definition = self._editions[n].definition
        if definition is None:
            return self._editions[n].since
        closes_at = definition.ends_at(zone) or END
        for later in self._editions[n + 1 :]:
            if later.since >= closes_at:
                break
            said = later.since if later.definition is None else later.definition.ends_at(zone) or END
            closes_at = max(said, later.since)
        return closes_at
