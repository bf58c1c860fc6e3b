"""Requests with their answers, and what each of them proves."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from engage.torture.record import Answered, Line, Lost, Sent

# The server says of these that it cannot say what was done, or has not begun.
UNDECIDED = (408, 429)

Outcome = Literal["done", "refused", "unknown"]


class Exchange(Struct, frozen=True):
    """A request and its answer, or None where that was lost. `ended`: when the client knew no more."""

    sent: Sent
    answered: Answered | None
    ended: float

    @property
    def outcome(self) -> Outcome:
        if self.answered is None or self.answered.status >= 500 or self.answered.status in UNDECIDED:
            return "unknown"
        return "done" if self.answered.status < 300 else "refused"

    @property
    def is_done(self) -> bool:
        return self.outcome == "done"

    @property
    def answer(self) -> Any:
        """The body of the answer."""
        assert self.answered is not None
        return self.answered.body

    @property
    def id(self) -> int:
        return self.sent.id


class Wish(Struct, frozen=True):
    """Requests of which at most one may be carried out: all under one Idempotency-Key, or one alone."""

    exchanges: tuple[Exchange, ...]

    @property
    def outcome(self) -> Outcome:
        """Done if one answer says so. A refusal has done nothing, so all have to be refused."""
        outcomes = {exchange.outcome for exchange in self.exchanges}
        if "done" in outcomes:
            return "done"
        return "unknown" if "unknown" in outcomes else "refused"

    @property
    def sent(self) -> Sent:
        return self.exchanges[0].sent

    @property
    def answers(self) -> list[Any]:
        """The bodies of all answers that say that it is done."""
        return [exchange.answer for exchange in self.exchanges if exchange.is_done]

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(exchange.id for exchange in self.exchanges)

    @property
    def began(self) -> float:
        return min(exchange.sent.at for exchange in self.exchanges)

    @property
    def ended(self) -> float:
        return max(exchange.ended for exchange in self.exchanges)


def exchanges_of(lines: Sequence[Line]) -> list[Exchange]:
    """All requests in the order in which they were sent. One without an end is as good as lost."""
    answers = {line.sent_id: line for line in lines if isinstance(line, Answered)}
    ends = {line.sent_id: line.at for line in lines if isinstance(line, Answered | Lost)}
    last = max((line.at for line in lines), default=0.0)
    return [
        Exchange(line, answers.get(line.id), ends.get(line.id, last))
        for line in lines
        if isinstance(line, Sent)
    ]


def wishes_of(exchanges: Sequence[Exchange]) -> Iterator[Wish]:
    """Group requests under one key; without a key each is a wish of its own."""
    keyed: defaultdict[tuple[str, str], list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        if exchange.sent.idempotency_key is None:
            yield Wish((exchange,))
        else:
            keyed[exchange.sent.actor, exchange.sent.idempotency_key].append(exchange)
    for group in keyed.values():
        yield Wish(tuple(group))
