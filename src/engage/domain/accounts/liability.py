"""The liability report: points that members have, their worth to the books, and a period's movements.

What members can spend and what holds keep is outstanding: it is owed to them until it is spent or has ended.
Pending points and members' debts are shown beside it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final, Literal, get_args

from msgspec import Struct

from engage.domain.accounts.movements import EntryKind, HouseAccount
from engage.domain.money import Money

BucketName = Literal[
    "ended", "30_days", "31_to_90_days", "91_to_180_days", "181_to_365_days", "later", "never"
]
MovementName = Literal[
    "issued",
    "opening",
    "reinstated",
    "spent",
    "withdrawn",
    "expired",
    "taken_back",
    "recovered",
    "adjusted",
    "transferred",
]

# The edges of the buckets, in days of 24 hours after the report's instant.
DAYS: Final = (0, 30, 90, 180, 365)
BUCKETS: Final[tuple[BucketName, ...]] = get_args(BucketName)
MOVEMENTS: Final[tuple[MovementName, ...]] = get_args(MovementName)


class LotSum(Struct, frozen=True):
    """Remainders of the lots of one country's members that end in one bucket, an index of BUCKETS."""

    program_id: str
    country: str
    bucket: int
    active: int
    held: int


class EntrySum(Struct, frozen=True):
    """The effect of entries of one kind on outstanding points and debts, before the period or in it."""

    program_id: str
    country: str
    before: bool
    kind: EntryKind
    house_account: HouseAccount | None
    points: int
    debt: int


class PendingSum(Struct, frozen=True):
    program_id: str
    country: str
    points: int


class OutstandingSum(Struct, frozen=True):
    """Remainders of all lots of one country's members, active and held."""

    program_id: str
    country: str
    points: int


class MovedSum(Struct, frozen=True):
    """Movements of the lots of one country's members, before the period or in it."""

    program_id: str
    country: str
    before: bool
    points: int


class Sums(Struct, frozen=True, kw_only=True):
    """The ledger's sums. `outstanding_before` is of just before the period, empty where it has no
    beginning.
    """

    lots: Sequence[LotSum]
    outstanding_before: Sequence[OutstandingSum]
    moved: Sequence[MovedSum]
    entries: Sequence[EntrySum]
    pending: Sequence[PendingSum]


class PointRate(Struct, frozen=True):
    """The currency of a country's members, and a point's worth in minor units, if it has one."""

    currency: str
    minor: Fraction | None


class ExpirySum(Struct, frozen=True):
    """Outstanding points that end later than `after` and no later than `until`.

    `ended`: their end has passed and they await the sweep; `never`: they have no end.
    """

    bucket: BucketName
    after: datetime | None
    until: datetime | None
    points: int
    worth: Money | None


class MovementSum(Struct, frozen=True):
    """The change of outstanding points, and of members' debts, by one kind of movement in the period.

    `issued`: points that became active. `opening`: imported balances. `reinstated`: spent points of returned
    orders. `spent`: at checkout and for rewards. `withdrawn`: as money. `expired`: breakage, and points of
    erased members. `taken_back`: earned points of what was undone; those spent already became a debt.
    `recovered`: new points that paid a debt. `adjusted`: by operators. `transferred`: between members, zero
    unless they are of different currencies.
    """

    kind: MovementName
    points: int
    debt: int
    worth: Money | None


class Liability(Struct, frozen=True, kw_only=True):
    """The members of a program whose countries have one currency.

    `worth` is by the versions in force at the report's instant, null where one of them gives points no worth.
    `outstanding` is what remains in members' lots; `before` is the same just before the period. `reconciled`:
    all movements of lots add up to both, and so do `before` and the period's movements, which come from the
    entries, to it and to members' debts.
    """

    program: str
    currency: str
    outstanding: int
    worth: Money | None
    active: int
    held: int
    pending: int
    debt: int
    expiring: list[ExpirySum]
    before: int
    worth_before: Money | None
    debt_before: int
    movements: list[MovementSum]
    reconciled: bool


class LiabilityReport(Struct, frozen=True, kw_only=True, rename={"since": "from"}):
    """Points that members have at an instant, and their movements in the period that ends with it.

    Both ends belong to the period; `from` is null where it goes back to the beginning.
    """

    at: datetime
    since: datetime | None
    items: list[Liability]


def bounds(at: datetime) -> list[tuple[datetime | None, datetime | None]]:
    """(after, until) of each bucket; the last one is for lots without an end."""
    edges = [at + timedelta(days=days) for days in DAYS]
    return [*zip([None, *edges], [*edges, None], strict=True), (None, None)]


def movement_of(row: EntrySum) -> MovementName | None:
    """None for entries that only move points between a member's own accounts."""
    match row.kind:
        case "earning":
            return "issued"
        case "opening":
            return "opening"
        case "reinstatement":
            return "reinstated"
        case "capture" | "redemption":
            return "withdrawn" if row.house_account == "withdrawn" else "spent"
        case "expiration":
            return "expired"
        case "clawback":
            return "taken_back"
        case "recovery":
            return "recovered"
        case "adjustment":
            return "expired" if row.house_account == "expired" else "adjusted"
        case "transfer":
            return "transferred"
        case "hold" | "release":
            return None
