"""A withdrawal: points taken out as money. What it may be, and what becomes of it, whatever is heard of it.

    requested -> submitted -> settled | failed
        ^            |  ^
        |            v  |
        +--------- unknown

A withdrawal is sent once: only one that is `requested` is sent, and it is `submitted` before it is. From then
on it is asked about, by its own id, until the provider knows how it ended. It goes back to `requested` only
where the request certainly never reached the provider. Why it is so: docs/decisions/0006.
"""

from datetime import datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.withdrawals.definition import Method

State = Literal["requested", "submitted", "unknown", "settled", "failed"]

# The first question has to come after the last moment at which the sending may still go on.
FIRST_INQUIRY_AFTER = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=6)

# How long a provider may not know what was sent to it before it is believed that it never arrived. Nothing
# that was on its way is so for a minute; the rest is for a provider that is slow to know what it has.
NOT_RECEIVED_AFTER = timedelta(hours=1)

# A provider that cannot be reached for so long: the member gets the points back, and may try again.
GIVE_UP_AFTER = timedelta(days=1)

NOT_RECEIVED, PROVIDER_UNREACHABLE = "never_heard", "provider_away"


class Withdrawal(Struct, frozen=True, kw_only=True):
    """`id` is what the provider knows it by. `ask_at`: when it is to be sent, or asked about next.

    `asked` counts the questions, or the attempts to send that did not leave, since the last good news.
    `accepted_at`: since when it is known that the provider has it.
    """

    program_id: str
    member_id: str
    id: UUID
    hold_id: UUID
    state: State
    method: Method
    points: int
    amount_minor: int
    currency: str
    phone: str | None = None
    provider: str | None = None
    provider_id: str | None = None
    failure: str | None = None
    requested_at: datetime
    submitted_at: datetime | None = None
    accepted_at: datetime | None = None
    ask_at: datetime | None = None
    asked: int = 0
    closed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.program_id, self.member_id

    @property
    def closed(self) -> bool:
        return self.state in ("settled", "failed")


# What a provider says when it is sent a payout, or asked about one.


class Accepted(Struct, frozen=True):
    """It has it, and does not know yet how it ends."""


class Paid(Struct, frozen=True):
    """The money is there. What the provider tells of it serves to compare."""

    provider_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None


class Declined(Struct, frozen=True):
    """It is not paid and will not be."""

    reason: str


class NotSent(Struct, frozen=True):
    """An answer to sending only: it did not leave, or was turned away unread, so nothing can come of it."""

    reason: str


class NotReceived(Struct, frozen=True):
    """An answer to a question only: the provider knows of no such payout."""


class Unclear(Struct, frozen=True):
    """Anything may have happened."""

    reason: str


Outcome = Accepted | Paid | Declined | NotSent | NotReceived | Unclear


def submit(withdrawal: Withdrawal, provider: str, *, at: datetime) -> Withdrawal:
    """About to be sent, by whoever commits this, and by nobody else ever again."""
    assert withdrawal.state == "requested"
    return replace(
        withdrawal, state="submitted", provider=provider, submitted_at=at, ask_at=at + FIRST_INQUIRY_AFTER
    )


def ask(withdrawal: Withdrawal, *, at: datetime) -> Withdrawal:
    """About to be asked about: unless something comes of it, again after a pause that grows."""
    assert withdrawal.state in ("submitted", "unknown")
    return replace(withdrawal, ask_at=at + pause(withdrawal.asked), asked=withdrawal.asked + 1)


def postpone(withdrawal: Withdrawal, *, at: datetime) -> Withdrawal:
    """Nobody can do anything about it now."""
    return replace(withdrawal, ask_at=at + pause(withdrawal.asked), asked=withdrawal.asked + 1)


def pause(asked: int) -> timedelta:
    return min(FIRST_INQUIRY_AFTER * (1 << min(asked, 16)), LONGEST_PAUSE)


def record_outcome(withdrawal: Withdrawal, outcome: Outcome, *, at: datetime) -> Withdrawal:
    """What becomes of it. One that has ended stays as it is, whatever is heard late."""
    if withdrawal.state not in ("submitted", "unknown"):
        return withdrawal
    match outcome:
        case Paid(provider_id=provider_id):
            return close(withdrawal, None, at=at, provider_id=provider_id)
        case Declined(reason=reason):
            return close(withdrawal, reason, at=at)
        case Accepted():
            known = withdrawal.accepted_at or at
            return replace(withdrawal, state="submitted", accepted_at=known)
        case NotSent():
            return _not_sent(withdrawal, at)
        case NotReceived():
            return _not_received(withdrawal, at)
        case Unclear():
            # A question without an answer takes nothing away from what was known.
            return withdrawal if withdrawal.accepted_at else replace(withdrawal, state="unknown")
        case _:
            assert_never(outcome)


def close(
    withdrawal: Withdrawal, failure: str | None, *, at: datetime, provider_id: str | None = None
) -> Withdrawal:
    """Settled, or failed for that reason."""
    return replace(
        withdrawal,
        state="settled" if failure is None else "failed",
        failure=failure,
        provider_id=provider_id,
        closed_at=at,
        ask_at=None,
    )


def _not_sent(withdrawal: Withdrawal, at: datetime) -> Withdrawal:
    if at - withdrawal.requested_at >= GIVE_UP_AFTER:
        return close(withdrawal, PROVIDER_UNREACHABLE, at=at)
    return replace(
        withdrawal,
        state="requested",
        provider=None,
        submitted_at=None,
        ask_at=at + pause(withdrawal.asked),
        asked=withdrawal.asked + 1,
    )


def _not_received(withdrawal: Withdrawal, at: datetime) -> Withdrawal:
    """Points go back only where the provider never said that it had it, and has had time to know."""
    assert withdrawal.submitted_at is not None
    if withdrawal.accepted_at is None and at - withdrawal.submitted_at >= NOT_RECEIVED_AFTER:
        return close(withdrawal, NOT_RECEIVED, at=at)
    return replace(withdrawal, state="unknown")


def difference(withdrawal: Withdrawal, outcome: Outcome) -> str | None:
    """What a provider has other than we of one that has ended, in a line; None where it is the same."""
    match withdrawal.state, outcome:
        case "settled", Paid(amount_minor=amount, currency=currency):
            theirs = (amount, currency)
            same = amount is None or theirs == (withdrawal.amount_minor, withdrawal.currency)
            return None if same else f"settled, and paid as {amount} {currency}"
        case "failed", Paid():
            return "its points went back, and it was paid"
        case "failed", Accepted():
            return "its points went back, and it may still be paid"
        case "failed", _:
            return None
        case _:
            return f"settled, and not paid: {type(outcome).__name__}"
