"""A provider that pays nobody. The last two digits of the phone number decide how a payout ends.

| digits | what happens |
|---|---|
| 01 | declined when sent |
| 02 | accepted, and failed when asked about |
| 03 | times out when sent, but was accepted: paid |
| 04 | accepted, and paid two hours after it was sent |
| 05 | times out when sent, and was not received |
| 06 | the provider cannot be reached, so nothing is sent |
| any other | accepted, and paid when asked about |

It stores nothing: the number and the time since sending decide, so all processes see the same, also after a
restart. Therefore a payout that a dying process did not send counts as sent.
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
