"""The outcome of a part of a backtest, and the form in which it is stored."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from engage.domain.backtests.budget import Accepted, Hours, add_events
from engage.domain.backtests.sums import Entry, Gain, Tally, tally_of
from engage.flows.backtests.job import Job

# The quickest: what it writes is read once.
_LEVEL: Final = 1

_encode = msgspec.msgpack.Encoder().encode
_batches = msgspec.msgpack.Decoder(list[bytes])
_entries = msgspec.msgpack.Decoder(list[Entry])
_hours = msgspec.msgpack.Decoder(Hours)
_tally = msgspec.msgpack.Decoder(Tally)


class Sums:
    """The sums of members, with what each gains."""

    def __init__(self, job: Job, accepted: Accepted) -> None:
        self.tally = Tally()
        self.gains: list[Gain] = []
        self._draft = job.draft.id
        self._accepted = accepted.points

    def add(self, entry: Entry) -> None:
        tally, gain = tally_of(entry, self._draft, self._accepted)
        self.tally.add(tally)
        if gain.points:
            self.gains.append(gain)

    def encoded(self) -> bytes:
        return _encode(self.tally)


class Undecided:
    """The entries of members about whose events the budget has still to decide."""

    def __init__(self) -> None:
        self._hours: Hours = {}
        self._batches: list[bytes] = []

    def add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            add_events(self._hours, entry.events)
        self._batches.append(zlib.compress(_encode(entries), _LEVEL))

    def encoded_hours(self) -> bytes:
        return _encode(self._hours)

    def encoded(self) -> bytes:
        return _encode(self._batches)


def stored_entries(encoded: bytes) -> Iterator[list[Entry]]:
    """The entries of a part, in the batches in which they were added."""
    for batch in _batches.decode(encoded):
        yield _entries.decode(zlib.decompress(batch))


def stored_hours(encoded: bytes) -> Hours:
    return _hours.decode(encoded)


def stored_tally(encoded: bytes) -> Tally:
    return _tally.decode(encoded)
