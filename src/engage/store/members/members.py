"""Members, their cards, and who may not join twice."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.refusals import Code, Refusal
from engage.schema.member_rows import join_sql, tables_of_members


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


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A member as they are kept. Of one who was `merged_into` another, or erased, there is not much."""

    program_id: str
    member_id: str
    country: str
    kind: str
    birth_date: date | None
    phone: str | None
    phone_changed_at: datetime | None
    joined_at: datetime
    merged_into: str | None
    erased_at: datetime | None

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id


class ClosedMember(msgspec.Struct, frozen=True):
    """A member who is one no more: merged into another, or erased (None). `at` is wall time."""

    program_id: str
    member_id: str
    merged_into: str | None
    at: datetime


# Who was merged is found as the one they were merged into; nobody is merged into one who is merged.
_READ = text("""
SELECT k.program_id, k.member_id, s.member_id, s.country
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
JOIN members m USING (program_id, member_id)
JOIN members s ON s.program_id = m.program_id AND s.member_id = coalesce(m.merged_into, m.member_id)
WHERE s.erased_at IS NULL
""")

_AFTER = text("""
SELECT program_id, member_id, country FROM members
WHERE (program_id, member_id) > (:program_id, :member_id) AND closed_at IS NULL
ORDER BY program_id, member_id LIMIT :limit
""")

_PROFILE = """
SELECT program_id, member_id, country, kind, birth_date, phone, phone_changed_at, joined_at, merged_into,
       erased_at
FROM members
"""

_PROFILES = text(f"""
{_PROFILE} WHERE program_id = ANY(CAST(:program_ids AS text[])) AND member_id = :member_id
""")  # A constant of this module, here and below.

_LOCK = text(f"""
{_PROFILE} WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
ORDER BY member_id FOR UPDATE
""")

_MERGED_INTO = text("""
SELECT member_id FROM members WHERE program_id = :program_id AND merged_into = :member_id ORDER BY 1
""")

_CLOSED = text("""
SELECT program_id, member_id, merged_into, closed_at FROM members
WHERE closed_at IS NOT NULL AND (CAST(:since AS timestamptz) IS NULL OR closed_at >= :since)
""")

_BY_CARD = text("""
SELECT c.program_id, c.card_number, c.member_id
FROM unnest(CAST(:program_ids AS text[]), CAST(:card_numbers AS text[])) AS k (program_id, card_number)
JOIN card_numbers c USING (program_id, card_number)
""")

_CARDS = text("""
SELECT card_number FROM card_numbers WHERE program_id = :program_id AND member_id = :member_id ORDER BY 1
""")

_ADD = text("""
INSERT INTO members (program_id, member_id, country, kind, birth_date, person_hash, phone, referral_code,
                     joined_at)
VALUES (:program_id, :member_id, :country, :kind, :birth_date, :person_hash, :phone, :referral_code, :now)
ON CONFLICT DO NOTHING
RETURNING member_id
""")

_EXISTS = text("""
SELECT erased_at IS NOT NULL FROM members WHERE program_id = :program_id AND member_id = :member_id
""")

_ADD_CARDS = text("""
INSERT INTO card_numbers (program_id, card_number, member_id)
SELECT :program_id, card_number, :member_id FROM unnest(CAST(:card_numbers AS text[])) AS c (card_number)
ORDER BY card_number COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING card_number
""")

_DROP_CARD = text("""
DELETE FROM card_numbers
WHERE program_id = :program_id AND member_id = :member_id AND card_number = :card_number
""")

_SET_PHONE = text("""
UPDATE members SET phone = :phone, phone_changed_at = :now
WHERE program_id = :program_id AND member_id = :member_id
""")


async def read_members(conn: AsyncConnection, asked: Sequence[MemberKey]) -> dict[MemberKey, Member]:
    """By the (program, member) that was asked for; of one who was merged, the member they were merged into.
    Who is missing is no member, or none any more.
    """
    rows = await conn.execute(
        _READ, {"program_ids": [p for p, _ in asked], "member_ids": [m for _, m in asked]}
    )
    return {
        (program_id, asked_id): Member(program_id, member_id, country)
        for program_id, asked_id, member_id, country in rows
    }


async def read_members_after(conn: AsyncConnection, key: MemberKey, *, limit: int) -> list[Member]:
    """The members after (program, member) in key order; all of them begin after ("", "")."""
    rows = await conn.execute(_AFTER, {"program_id": key[0], "member_id": key[1], "limit": limit})
    return [Member(*row) for row in rows]


async def count_members(conn: AsyncConnection) -> int:
    found: int = (
        await conn.execute(text("SELECT count(*) FROM members WHERE closed_at IS NULL"))
    ).scalar_one()
    return found


async def read_profiles(conn: AsyncConnection, program_ids: Sequence[str], member_id: str) -> list[Profile]:
    """Whoever has this id in one of these programs, merged and erased ones included."""
    rows = await conn.execute(_PROFILES, {"program_ids": list(program_ids), "member_id": member_id})
    return [_profile(row) for row in rows]


async def lock_profiles(
    conn: AsyncConnection, program_id: str, member_ids: Iterable[str]
) -> dict[str, Profile]:
    """By id, locked in key order until the transaction ends. Comes before any lock of the ledger."""
    rows = await conn.execute(_LOCK, {"program_id": program_id, "member_ids": sorted(set(member_ids))})
    return {profile.member_id: profile for profile in map(_profile, rows)}


async def read_merged_into(conn: AsyncConnection, key: MemberKey) -> list[str]:
    """The ids of those who were merged into this member."""
    rows = await conn.execute(_MERGED_INTO, {"program_id": key[0], "member_id": key[1]})
    return list(rows.scalars())


async def read_closed_members(conn: AsyncConnection, since: datetime | None) -> list[ClosedMember]:
    """Who was merged or erased at that instant of wall time or later; all of them where there is none."""
    return [ClosedMember(*row) for row in await conn.execute(_CLOSED, {"since": since})]


async def read_card_owners(
    conn: AsyncConnection, asked: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Member ids by (program, card number). Numbers are in stored form (`engage.domain.members.cards`)."""
    rows = await conn.execute(
        _BY_CARD, {"program_ids": [p for p, _ in asked], "card_numbers": [c for _, c in asked]}
    )
    return {(program_id, card): member_id for program_id, card, member_id in rows}


async def read_cards(conn: AsyncConnection, key: MemberKey) -> list[str]:
    rows = await conn.execute(_CARDS, {"program_id": key[0], "member_id": key[1]})
    return list(rows.scalars())


async def add_member(conn: AsyncConnection, member: NewMember, *, now: datetime) -> None:
    """Raises Refusal member_exists, member_erased, person_has_account or card_taken; the caller's transaction
    then ends.
    """
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
        erased = (await conn.execute(_EXISTS, identity)).scalar()
        if erased:
            raise member_erased()
        raise Refusal(Code.PERSON_HAS_ACCOUNT if erased is None else Code.MEMBER_EXISTS)
    await add_cards(conn, (member.program_id, member.member_id), member.card_numbers)
    await add_joining_rows(conn, [(member.program_id, member.member_id)])


async def add_joining_rows(conn: AsyncConnection, keys: Sequence[MemberKey]) -> None:
    """Add a row for each new member to the tables that have one for every member."""
    columns = {"program_ids": [program for program, _ in keys], "member_ids": [member for _, member in keys]}
    for table, policies in tables_of_members():
        if policies.join:
            await conn.execute(text(join_sql(table)), columns)


async def add_cards(conn: AsyncConnection, key: MemberKey, card_numbers: Sequence[str]) -> None:
    """Cards that nobody has, or this member. Raises Refusal card_taken; the transaction then ends."""
    if not card_numbers:
        return
    identity = {"program_id": key[0], "member_id": key[1]}
    added = await conn.execute(_ADD_CARDS, identity | {"card_numbers": list(card_numbers)})
    missing = set(card_numbers) - {row[0] for row in added}
    if missing:
        missing -= set(await read_cards(conn, key))
    if missing:
        raise Refusal(Code.CARD_TAKEN, card_numbers=sorted(missing))


async def drop_card(conn: AsyncConnection, key: MemberKey, card_number: str) -> None:
    await conn.execute(_DROP_CARD, {"program_id": key[0], "member_id": key[1], "card_number": card_number})


async def set_phone(conn: AsyncConnection, key: MemberKey, phone: str, *, now: datetime) -> None:
    await conn.execute(_SET_PHONE, {"program_id": key[0], "member_id": key[1], "phone": phone, "now": now})


def member_erased() -> Refusal:
    return Refusal(Code.MEMBER_ERASED)


def person_hash(person_ref: str, *, program_id: str, pepper: str) -> bytes:
    """What is kept of a person reference: enough to know it again within a program, and no more."""
    return hmac.digest(pepper.encode(), f"{program_id}\0{person_ref}".encode(), hashlib.sha256)


def _profile(row: Sequence[object]) -> Profile:
    return msgspec.convert(dict(zip(Profile.__struct_fields__, row, strict=True)), Profile)
