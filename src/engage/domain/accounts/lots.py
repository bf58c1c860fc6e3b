"""Lots: the dated remainders of credits, and the order in which they are spent."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Lot(Struct):
    """The dated remainder of a credit. `expired` is the part of it that ended unspent."""

    credit_id: UUID
    points: int
    remaining: int
    expired: int
    active_at: datetime
    expires_at: datetime | None


class LotMove(Struct, frozen=True):
    """The change of one lot by a movement: `active` of its spendable points, `held` of those in holds.

    `expires_at` is the lot's new end, where the movement gave it one.
    """

    credit_id: UUID
    active: int = 0
    held: int = 0
    expires_at: datetime | None = None


class Take(Struct, frozen=True):
    """Points taken of a lot."""

    credit_id: UUID
    points: int


def spending_order(lot: Lot) -> tuple[bool, datetime, datetime, UUID]:
    """The sort key of lots: the lot that ends first is spent first, one that never ends last."""
    return lot.expires_at is None, lot.expires_at or lot.active_at, lot.active_at, lot.credit_id
