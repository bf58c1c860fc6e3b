"""Credits and rewards that steps of challenges have paid."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.challenges.facts import CHALLENGE_STEP
from engage.domain.keys import CHALLENGE, MemberKey
from engage.schema.challenges import challenge_gifts
from engage.schema.members import members
from engage.schema.rows import Batch
from engage.store.challenges.facts import FactsQuery

# A step of a challenge in a period.
StepKey = tuple[str, str, int]  # (challenge, period, step)

_KEYS = Batch("k", members, "program_id", "member_id")
_SINCE = Batch("k", members, "program_id", "member_id", since="timestamptz")
_NEW = Batch(
    "g",
    challenge_gifts,
    *("program_id", "member_id", "challenge_id", "period", "step", "coupon_id", "reached_at", "zone"),
)
_GONE = Batch("g", challenge_gifts, "program_id", "member_id", "challenge_id", "period", "step")
_COUPONS = Batch("g", challenge_gifts, "program_id", "member_id", "coupon_id")

# Held until the transaction ends, so nobody else pays steps of these members, or merges or erases them. Who
# only needs the member to exist does not wait.
_LOCK = text(f"""
SELECT m.program_id, m.member_id
FROM {_KEYS} JOIN members m USING (program_id, member_id)
WHERE m.closed_at IS NULL
ORDER BY m.program_id, m.member_id
FOR NO KEY UPDATE OF m
""")  # noqa: S608  # Names of the schema, here and below.

# Also credits of no points, which are traces of merged accounts: their keys are taken.
_CREDITS = text(f"""
WITH wanted AS MATERIALIZED (
    SELECT * FROM {_SINCE}
)
SELECT w.program_id, w.member_id, c.why -> 'activity' ->> 'challenge_id' AS challenge_id,
       c.why -> 'activity' ->> 'period' AS period, CAST(c.why -> 'activity' ->> 'step' AS bigint) AS step,
       CAST(c.why -> 'activity' ->> 'number' AS int) AS number, c.id, c.reference,
       c.activity_at AS reached_at, c.why ->> 'zone' AS zone,
       CASE WHEN c.points > 0 THEN c.state ELSE 'reversed' END AS state
FROM wanted w
CROSS JOIN LATERAL (
    SELECT * FROM credits c
    WHERE c.program_id = w.program_id AND c.member_id = w.member_id
      AND c.reference >= '{CHALLENGE}:' AND c.reference < '{CHALLENGE};'
      AND c.activity_at >= w.since AND c.why -> 'activity' ->> 'activity' = '{CHALLENGE_STEP}'
      AND c.beside IS NULL
    OFFSET 0
) c
ORDER BY c.rule_id = 'transfer', c.id
""")  # noqa: S608

_GIFTS = text(f"""
WITH wanted AS MATERIALIZED (
    SELECT * FROM {_SINCE}
)
SELECT g.program_id, g.member_id, g.challenge_id, g.period, g.step, g.coupon_id, g.reached_at, g.zone,
       (SELECT CASE WHEN c.passed_to IS NULL THEN c.state ELSE 'passed' END FROM coupons c
        WHERE c.program_id = g.program_id AND c.member_id = g.member_id AND c.id = g.coupon_id) AS state
FROM wanted w
CROSS JOIN LATERAL (
    SELECT * FROM challenge_gifts g
    WHERE g.program_id = w.program_id AND g.member_id = w.member_id AND g.reached_at >= w.since
    OFFSET 0
) g
""")  # noqa: S608

_ADD = text(f"INSERT INTO challenge_gifts ({_NEW.columns}) SELECT {_NEW.columns} FROM {_NEW}")  # noqa: S608

_VOID = text(f"""
UPDATE coupons c SET state = 'void', closed_at = :now
FROM {_COUPONS}
WHERE c.program_id = g.program_id AND c.member_id = g.member_id AND c.id = g.coupon_id AND c.state = 'issued'
""")  # noqa: S608

_REMOVE = text(f"""
DELETE FROM challenge_gifts o USING {_GONE}
WHERE o.program_id = g.program_id AND o.member_id = g.member_id AND o.challenge_id = g.challenge_id
  AND o.period = g.period AND o.step = g.step
""")  # noqa: S608


class PaidCredit(msgspec.Struct, frozen=True):
    """A credit that a step has paid, the `number`th one of the step in the period."""

    program_id: str
    member_id: str
    challenge_id: str
    period: str
    step: int
    number: int
    id: UUID
    reference: str
    reached_at: datetime
    zone: str
    state: str

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id

    @property
    def step_key(self) -> StepKey:
        return self.challenge_id, self.period, self.step

    @property
    def is_live(self) -> bool:
        return self.state != "reversed"


class Gift(msgspec.Struct, frozen=True):
    """A reward that a step has given. `state` is that of its coupon, or `passed` to another member."""

    program_id: str
    member_id: str
    challenge_id: str
    period: str
    step: int
    coupon_id: UUID
    reached_at: datetime
    zone: str
    state: str | None = "issued"

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id

    @property
    def step_key(self) -> StepKey:
        return self.challenge_id, self.period, self.step


async def lock_members(conn: AsyncConnection, keys: Iterable[MemberKey]) -> set[MemberKey]:
    """Lock those of these members who are not merged or erased, before locks of the ledger."""
    rows = await conn.execute(_LOCK, _KEYS.of(sorted(set(keys))))
    return {(row[0], row[1]) for row in rows}


async def read_credits(conn: AsyncConnection, queries: Sequence[FactsQuery]) -> list[PaidCredit]:
    """Read the credits of steps that were reached since an instant, a member's own before transfers."""
    rows = await conn.execute(_CREDITS, _SINCE.of(queries))
    return [PaidCredit(*row) for row in rows]


async def read_gifts(conn: AsyncConnection, queries: Sequence[FactsQuery]) -> list[Gift]:
    """Read the gifts of steps that were reached since an instant."""
    return [Gift(*row) for row in await conn.execute(_GIFTS, _SINCE.of(queries))]


async def add_gifts(conn: AsyncConnection, gifts: Sequence[Gift]) -> None:
    await conn.execute(_ADD, _NEW.of_structs(gifts))


async def take_gifts_back(conn: AsyncConnection, gifts: Sequence[Gift], *, now: datetime) -> None:
    """Void the coupons of gifts, which are not used, and forget them. The balances are locked."""
    await conn.execute(_VOID, _COUPONS.of_structs(gifts) | {"now": now})
    await conn.execute(_REMOVE, _GONE.of_structs(gifts))
