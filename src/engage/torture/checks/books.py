"""The rows of the database after the end, where REST does not show them."""

from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

R = TypeVar("R", bound="Row")


class Row(Struct, frozen=True, kw_only=True):
    """A row of the table or view that is named like the field of `Books`."""

    member_id: str


class Credit(Row, frozen=True, kw_only=True):
    id: UUID
    rule_id: str
    source_key: str
    points: int
    taken_back: int
    state: str
    activity_at: datetime
    accepted_at: datetime
    due_at: datetime | None
    active_at: datetime | None
    reference: str | None
    boost: str | None
    campaign: str | None
    why: dict[str, Any]

    @property
    def activity(self) -> dict[str, Any]:
        """The activity that earned it; empty for one that only the ledger knows."""
        found: dict[str, Any] = self.why.get("activity") or {}
        return found

    @property
    def kept(self) -> int:
        return self.points - self.taken_back


class Entry(Row, frozen=True, kw_only=True):
    seq: int
    kind: str
    at: datetime
    active_delta: int
    held_delta: int
    debt_delta: int
    house_delta: int
    balance_after: int
    credit_id: UUID | None
    hold_id: UUID | None


class Balance(Row, frozen=True, kw_only=True):
    active: int
    pending: int
    held: int
    debt: int
    version: int
    closed: bool


class Coupon(Row, frozen=True, kw_only=True):
    id: UUID
    redemption_id: UUID | None
    reward_id: str
    state: str
    points: int
    hold_id: UUID | None
    issued_at: datetime


class Hold(Row, frozen=True, kw_only=True):
    id: UUID
    purpose: str
    state: str
    points: int
    order_id: str | None
    discount_minor: int | None


class Withdrawal(Row, frozen=True, kw_only=True):
    id: UUID
    hold_id: UUID
    state: str
    points: int
    phone: str | None
    requested_at: datetime


class Play(Row, frozen=True, kw_only=True):
    id: UUID
    number: int
    at: datetime
    prize: str | None
    credit_id: UUID | None
    coupon_id: UUID | None


class Attempt(Row, frozen=True, kw_only=True):
    id: UUID
    started_at: datetime
    answered_at: datetime | None
    points: int | None
    credit_id: UUID | None


class DrawEntry(Row, frozen=True, kw_only=True):
    entry_id: UUID
    draw_id: str
    number: int


class Adjustment(Row, frozen=True, kw_only=True):
    reference: str
    points: int


class ShopEvent(Row, frozen=True, kw_only=True):
    event_id: str
    type: str


class Order(Row, frozen=True, kw_only=True):
    order_id: str
    paid_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None


class Member(Row, frozen=True, kw_only=True):
    country: str
    joined_at: datetime
    merged_into: str | None
    erased_at: datetime | None

    @property
    def is_closed(self) -> bool:
        return self.merged_into is not None or self.erased_at is not None


class Referral(Row, frozen=True, kw_only=True):
    id: UUID
    advocate_id: str
    state: str
    claimed_at: datetime


class Books(Struct, frozen=True, kw_only=True):
    """All rows of a program, in tables."""

    members: list[Member] = []
    credits: list[Credit] = []
    entries: list[Entry] = []
    balances: list[Balance] = []
    coupons: list[Coupon] = []
    holds: list[Hold] = []
    withdrawals: list[Withdrawal] = []
    game_plays: list[Play] = []
    quiz_attempts: list[Attempt] = []
    draw_entries: list[DrawEntry] = []
    adjustments: list[Adjustment] = []
    shop_events: list[ShopEvent] = []
    orders: list[Order] = []
    referrals: list[Referral] = []
    now: datetime

    def of_members_since(self, at: datetime) -> "Books":
        """The rows of those who joined from then on, as an installation can have had others before."""
        ids = {member.member_id for member in self.members if member.joined_at >= at}
        return Books(
            now=self.now,
            **{name: [row for row in getattr(self, name) if row.member_id in ids] for name in _TABLES},
        )

    @property
    def closed(self) -> set[str]:
        """Members who were merged or erased, and those who go on with the points of two."""
        survivors = {member.merged_into for member in self.members if member.merged_into is not None}
        return survivors | {member.member_id for member in self.members if member.is_closed}


_TABLES: Final[dict[str, type[Row]]] = {
    "members": Member,
    "credits": Credit,
    "entries": Entry,
    "balances": Balance,
    "coupons": Coupon,
    "holds": Hold,
    "withdrawals": Withdrawal,
    "game_plays": Play,
    "quiz_attempts": Attempt,
    "draw_entries": DrawEntry,
    "adjustments": Adjustment,
    "shop_events": ShopEvent,
    "orders": Order,
    "referrals": Referral,
}


async def read_books(database_url: str, program: str) -> Books:
    """Read everything at one instant."""
    engine = create_async_engine(database_url, isolation_level="REPEATABLE READ")
    try:
        async with engine.connect() as conn:
            tables = {name: await _rows(conn, name, row, program) for name, row in _TABLES.items()}
            ahead = await conn.scalar(
                text("SELECT clock_timestamp() + coalesce(max(ahead), '0') FROM sandbox_clock")
            )
            return msgspec.convert({**tables, "now": ahead}, Books, strict=False)
    finally:
        await engine.dispose()


async def _rows(conn: AsyncConnection, table: str, row: type[R], program: str) -> list[R]:
    columns = ", ".join(row.__struct_fields__)
    found = await conn.execute(
        text(f"SELECT {columns} FROM {table} WHERE program_id = :program"),  # noqa: S608  # Constants.
        {"program": program},
    )
    return [msgspec.convert(dict(each), row, strict=False) for each in found.mappings()]
