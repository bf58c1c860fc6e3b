"""A provider that pays nobody. How a payout ends is told by the last two digits of the phone number.

| digits | what happens |
|---|---|
| 01 | declined when it is sent |
| 02 | taken, and found to have failed when it is asked about |
| 03 | times out when it is sent, and was taken all the same: paid |
| 04 | taken, and answered late: paid two hours after it was sent |
| 05 | times out when it is sent, and never arrived |
| 06 | cannot be reached when it is sent, so it never leaves |
| any other | taken, and paid when it is asked about |

It keeps nothing: the number and the time since it was sent say all, so restarts and other processes see the
same. A payout that a dying process never sent is therefore taken for one that was.
"""

from datetime import datetime, timedelta
from typing import Final

from engage.domain.withdrawals.withdrawal import (
    Accepted,
    Declined,
    NotReceived,
    NotSent,
    Outcome,
    Paid,
    Unclear,
)
from engage.payouts.port import Payout

LATE: Final = timedelta(hours=2)


class SandboxProvider:
    name: Final = "sandbox"

    async def send(self, payout: Payout, *, at: datetime) -> Outcome:
        match payout.phone[-2:]:
            case "01":
                return Declined("payee_not_found")
            case "03" | "05":
                return Unclear("timeout")
            case "06":
                return NotSent("connection refused")
            case _:
                return Accepted()

    async def ask(self, payout: Payout, *, at: datetime) -> Outcome:
        match payout.phone[-2:]:
            case "01" | "02":
                return Declined("payee_not_found")
            case "05" | "06":
                return NotReceived()
            case "04" if at < payout.submitted_at + LATE:
                return Accepted()
            case _:
                return Paid(f"sandbox-{payout.reference}", payout.amount_minor, payout.currency)

    async def close(self) -> None:
        return
