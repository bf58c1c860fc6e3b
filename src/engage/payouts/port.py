"""What a provider of payouts has to be able to do. It pays to mobile phones; cash is paid at a counter."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from engage.domain.withdrawals.withdrawal import Outcome


class Payout(Struct, frozen=True):
    """`reference` is ours, and was kept before anybody is told of it. `phone` is in E.164 (+22670123456)."""

    reference: UUID
    amount_minor: int
    currency: str
    phone: str
    submitted_at: datetime


class PayoutProvider(Protocol):
    """Both calls answer in bounded time and raise nothing that is expected to go wrong: it is an outcome.

    `at` is the time by the clock that withdrawals follow, which only a sandbox needs to know.
    """

    @property
    def name(self) -> str:
        """What withdrawals remember it by."""

    async def send(self, payout: Payout, *, at: datetime) -> Outcome:
        """Asks for it to be paid. Called once for a reference, unless the answer was NotSent."""

    async def ask(self, payout: Payout, *, at: datetime) -> Outcome:
        """What has become of it, by its reference. Changes nothing, however often."""

    async def close(self) -> None:
        """Nothing is asked of it afterwards."""
