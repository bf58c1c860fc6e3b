"""Members, their cards, and who may not join twice."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusal import Refusal


class Member(msgspec.Struct, frozen=True):
    """What decisions need to know of a member."""

    program_id: str
    member_id: str
    country: str


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    program_id: str
    member_id: str
    country: str
    kind: str
    birth_date: date | None
    person_hash: bytes | None
    phone: str | None
    referral_code: str | None
    card_numbers: Sequence[str]


_READ = text("""
SELECT m.program_id, m.member_id, m.country
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
JOIN members m USING (program_id, member_id)
""")

_AFTER = text("""
SELECT program_id, member_id, country FROM members
WHERE (program_id, member_id) > (:program_id, :member_id)
ORDER BY program_id, member_id LIMIT :limit
""")

_BY_CARD = text("""
SELECT c.program_id, c.card_number, c.member_id
FROM unnest(CAST(:program_ids AS text[]), CAST(:card_numbers AS text[])) AS k (program_id, card_number)
JOIN card_numbers c USING (program_id, card_number)
""")

_ADD = text("""
INSERT INTO members (program_id, member_id, country, kind, birth_date, person_hash, phone, referral_code,
                     joined_at)
VALUES (:program_id, :member_id, :country, :kind, :birth_date, :person_hash, :phone, :referral_code, :now)
ON CONFLICT DO NOTHING
RETURNING member_id
""")

_EXISTS = text("SELECT 1 FROM members WHERE program_id = :program_id AND member_id = :member_id")

_ADD_CARDS = text("""
INSERT INTO card_numbers (program_id, card_number, member_id)
SELECT :program_id, card_number, :member_id FROM unnest(CAST(:card_numbers AS text[])) AS c (card_number)
ORDER BY card_number COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING card_number
""")

_OPEN_BALANCE = text("INSERT INTO balances (program_id, member_id) VALUES (:program_id, :member_id)")


async def read_members(
    conn: AsyncConnection, asked: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Member]:
    """By (program, member); who is missing is no member."""
    rows = await conn.execute(
        _READ, {"program_ids": [p for p, _ in asked], "member_ids": [m for _, m in asked]}
    )
    return {(row[0], row[1]): Member(*row) for row in rows}


async def members_after(conn: AsyncConnection, key: tuple[str, str], *, limit: int) -> list[Member]:
    """The members after (program, member) in key order; all of them begin after ("", "")."""
    rows = await conn.execute(_AFTER, {"program_id": key[0], "member_id": key[1], "limit": limit})
    return [Member(*row) for row in rows]


async def count_members(conn: AsyncConnection) -> int:
    found: int = (await conn.execute(text("SELECT count(*) FROM members"))).scalar_one()
    return found


async def by_card(conn: AsyncConnection, asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Member ids by (program, card number)."""
    rows = await conn.execute(
        _BY_CARD, {"program_ids": [p for p, _ in asked], "card_numbers": [c for _, c in asked]}
    )
    return {(program_id, card): member_id for program_id, card, member_id in rows}


async def add_member(conn: AsyncConnection, member: NewMember, *, now: datetime) -> None:
    """Raises Refusal member_exists, person_has_account or card_taken; the caller's transaction then ends."""
    identity = {"program_id": member.program_id, "member_id": member.member_id}
    added = await conn.execute(
        _ADD,
        identity
        | {
            "country": member.country,
            "kind": member.kind,
            "birth_date": member.birth_date,
            "person_hash": member.person_hash,
            "phone": member.phone,
            "referral_code": member.referral_code,
            "now": now,
        },
    )
    if added.first() is None:
        exists = (await conn.execute(_EXISTS, identity)).first() is not None
        raise Refusal("member_exists" if exists else "person_has_account", status=409)
    if member.card_numbers:
        taken = await conn.execute(_ADD_CARDS, identity | {"card_numbers": list(member.card_numbers)})
        missing = set(member.card_numbers) - {row[0] for row in taken}
        if missing:
            raise Refusal("card_taken", status=409, card_numbers=sorted(missing))
    await conn.execute(_OPEN_BALANCE, identity)


def person_hash(person_ref: str, *, program_id: str, pepper: str) -> bytes:
    """What is kept of a person reference: enough to know it again within a program, and no more."""
    return hmac.digest(pepper.encode(), f"{program_id}\0{person_ref}".encode(), hashlib.sha256)
