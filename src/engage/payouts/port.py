"""The interface of payout providers. They pay to mobile phones; cash is paid at a counter."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from engage.domain.withdrawals.withdrawal import Outcome


class Payout(Struct, frozen=True):
    """`reference` is ours, and is committed before the payout is sent. `phone` is in E.164 (+22670123456)."""

    reference: UUID
    amount_minor: int
    currency: str
    phone: str
    submitted_at: datetime


class PayoutProvider(Protocol):
    """Both calls return within a time limit. Expected failures are outcomes, not exceptions.

    `at` is the time by the clock of the withdrawals, which only a sandbox needs.
    """

    @property
    def name(self) -> str:
        """The name that withdrawals store."""

    async def send(self, payout: Payout, *, at: datetime) -> Outcome:
        """Requests the payment. Called once for a reference, or again after NotSent."""

    async def ask(self, payout: Payout, *, at: datetime) -> Outcome:
        """The state of the payout, by its reference. Changes nothing."""

    async def close(self) -> None:
        """Closes connections. No call follows."""
