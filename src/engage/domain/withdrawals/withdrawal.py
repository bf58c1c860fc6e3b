"""A withdrawal and its states, for every outcome that a provider can report.

    requested -> submitted -> settled | failed
        ^            |  ^
        |            v  |
        +--------- unknown

A withdrawal is sent once: only a `requested` one is sent, after it was stored as `submitted`. From then on
the worker asks the provider about it, by its id, until the outcome is known. It returns to `requested` only
if the request certainly never reached the provider. The reasons are in docs/decisions/0006.
"""

from datetime import datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.withdrawals.definition import Method

State = Literal["requested", "submitted", "unknown", "settled", "failed"]

# Longer than sending can take, so that the first inquiry comes after it.
FIRST_INQUIRY_AFTER = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=6)

# A payout that the provider does not know after this time never arrived. No request is under way for a
# minute; the rest is for providers that are slow to register what they received.
NOT_RECEIVED_AFTER = timedelta(hours=1)

# The member gets the points back when the provider could not be reached for this time.
GIVE_UP_AFTER = timedelta(days=1)

NOT_RECEIVED, PROVIDER_UNREACHABLE = "never_heard", "provider_away"


class Withdrawal(Struct, frozen=True, kw_only=True):
    """`id` is also the provider's reference. `ask_at`: the time of the next attempt to send it, or of the
    next inquiry.

    `asked` counts these attempts and inquiries, for the growing pause between them. `accepted_at`: the time
    of the first inquiry to which the provider confirmed that it had the payout.
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

    @property
    def waits_for_operator(self) -> bool:
        """Return whether an operator can say how it went: it is paid in cash, or its provider is silent."""
        return not self.closed and (self.method == "cash" or self.state == "unknown")


# Outcomes that a provider reports for a request to pay, or for an inquiry.


class Accepted(Struct, frozen=True):
    """The provider has the payout. Its result is not known yet."""


class Paid(Struct, frozen=True):
    """The money was paid out. The provider's figures are compared with ours."""

    provider_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None


class Declined(Struct, frozen=True):
    """The payout was not made and will not be."""

    reason: str


class NotSent(Struct, frozen=True):
    """Only when sending: the request did not leave, or was rejected unread, so it has no effect."""

    reason: str


class NotReceived(Struct, frozen=True):
    """Only for an inquiry: the provider does not know the payout."""


class Unclear(Struct, frozen=True):
    """The payout may have been made or not."""

    reason: str


Outcome = Accepted | Paid | Declined | NotSent | NotReceived | Unclear


def submit(withdrawal: Withdrawal, provider: str, *, at: datetime) -> Withdrawal:
    """Mark as submitted. Only the process that commits this sends the payout, once."""
    assert withdrawal.state == "requested"
    return replace(
        withdrawal, state="submitted", provider=provider, submitted_at=at, ask_at=at + FIRST_INQUIRY_AFTER
    )


def ask(withdrawal: Withdrawal, *, at: datetime) -> Withdrawal:
    """Schedule the inquiry after this one, with a growing pause."""
    assert withdrawal.state in ("submitted", "unknown")
    return replace(withdrawal, ask_at=at + pause(withdrawal.asked), asked=withdrawal.asked + 1)


def postpone(withdrawal: Withdrawal, *, at: datetime) -> Withdrawal:
    """Schedule the next attempt, when there is no provider for it now."""
    return replace(withdrawal, ask_at=at + pause(withdrawal.asked), asked=withdrawal.asked + 1)


def pause(asked: int) -> timedelta:
    return min(FIRST_INQUIRY_AFTER * (1 << min(asked, 16)), LONGEST_PAUSE)


def record_outcome(withdrawal: Withdrawal, outcome: Outcome, *, at: datetime) -> Withdrawal:
    """Apply a reported outcome. A closed withdrawal stays as it is."""
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
            # An inquiry without an answer does not undo an earlier confirmation.
            return withdrawal if withdrawal.accepted_at else replace(withdrawal, state="unknown")
        case _:
            assert_never(outcome)


def close(
    withdrawal: Withdrawal, failure: str | None, *, at: datetime, provider_id: str | None = None
) -> Withdrawal:
    """Settle, or fail for a reason."""
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
    """Fail, and so give points back, only if the provider never confirmed the payout and had time to register
    it.
    """
    assert withdrawal.submitted_at is not None
    if withdrawal.accepted_at is None and at - withdrawal.submitted_at >= NOT_RECEIVED_AFTER:
        return close(withdrawal, NOT_RECEIVED, at=at)
    return replace(withdrawal, state="unknown")


def difference(withdrawal: Withdrawal, outcome: Outcome) -> str | None:
    """Describe how the provider's outcome differs from ours, for a closed withdrawal; None if it does not."""
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
