"""Movements: the entries of the ledger before they are posted."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from engage.domain.accounts.lots import LotMove

EntryKind = Literal[
    "earning",
    "recovery",
    "expiration",
    "clawback",
    "hold",
    "release",
    "capture",
    "redemption",
    "reinstatement",
    "adjustment",
    "opening",
    "transfer",
]

# Sources and destinations of points. `issued`: credits and clawbacks; `expired` is breakage.
HouseAccount = Literal["issued", "redeemed", "withdrawn", "expired", "adjusted", "opening", "transferred"]


class Movement(Struct, frozen=True, kw_only=True):
    """An entry before it is posted: active + held - debt + house = 0. `moves` are its changes of lots."""

    kind: EntryKind
    at: datetime
    active: int = 0
    held: int = 0
    debt: int = 0
    house: int = 0
    house_account: HouseAccount | None = None
    credit_id: UUID | None = None
    corrects: int | None = None
    hold_id: UUID | None = None
    reference: str | None = None
    moves: tuple[LotMove, ...] = ()
    balance_after: int

    def __post_init__(self) -> None:
        assert self.active + self.held - self.debt + self.house == 0
        assert (self.house == 0) == (self.house_account is None)
