"""Members who come many at a time: who of them is known already, and adding the others."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.store.members.members import NewMember, add_joining_rows


class StoredMember(msgspec.Struct, frozen=True):
    """`gone`: merged into another member, or erased."""

    country: str
    gone: bool


class StoredRows(msgspec.Struct, frozen=True):
    """What of that which was asked for is there: members by id, hashes of persons, owners by card number."""

    members: dict[str, StoredMember]
    persons: set[bytes]
    cards: dict[str, str]


_MEMBERS = text("""
SELECT m.member_id, m.country, m.merged_into IS NOT NULL OR m.erased_at IS NOT NULL
FROM unnest(CAST(:member_ids AS text[])) AS k (member_id)
JOIN members m ON m.program_id = :program_id AND m.member_id = k.member_id
""")

_PERSONS = text("""
SELECT m.person_hash
FROM unnest(CAST(:person_hashes AS bytea[])) AS k (person_hash)
JOIN members m ON m.program_id = :program_id AND m.person_hash = k.person_hash
""")

_CARDS = text("""
SELECT c.card_number, c.member_id
FROM unnest(CAST(:card_numbers AS text[])) AS k (card_number)
JOIN card_numbers c ON c.program_id = :program_id AND c.card_number = k.card_number
""")

# In key order, as whoever adds one member takes one key after the other.
_ADD = text("""
INSERT INTO members (program_id, member_id, country, kind, birth_date, person_hash, phone, referral_code,
                     joined_at)
SELECT n.*, :now FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:countries AS text[]),
    CAST(:kinds AS text[]), CAST(:birth_dates AS date[]), CAST(:person_hashes AS bytea[]),
    CAST(:phones AS text[]), CAST(:referral_codes AS text[])
) AS n (program_id, member_id, country, kind, birth_date, person_hash, phone, referral_code)
ORDER BY n.program_id COLLATE "C", n.member_id COLLATE "C"
ON CONFLICT DO NOTHING
""")

_ADD_CARDS = text("""
INSERT INTO card_numbers (program_id, card_number, member_id)
SELECT * FROM unnest(
    CAST(:program_ids AS text[]), CAST(:card_numbers AS text[]), CAST(:member_ids AS text[])
) AS c (program_id, card_number, member_id)
ORDER BY c.program_id COLLATE "C", c.card_number COLLATE "C"
ON CONFLICT DO NOTHING
""")


async def read_known(
    conn: AsyncConnection,
    program_id: str,
    *,
    member_ids: Sequence[str],
    person_hashes: Sequence[bytes],
    card_numbers: Sequence[str],
) -> StoredRows:
    program = {"program_id": program_id}
    members = await conn.execute(_MEMBERS, program | {"member_ids": list(member_ids)})
    persons = await conn.execute(_PERSONS, program | {"person_hashes": list(person_hashes)})
    cards = await conn.execute(_CARDS, program | {"card_numbers": list(card_numbers)})
    return StoredRows(
        members={member_id: StoredMember(country, gone) for member_id, country, gone in members},
        persons={person for (person,) in persons},
        cards={row.card_number: row.member_id for row in cards},
    )


async def add_members(conn: AsyncConnection, members: Sequence[NewMember], *, now: datetime) -> bool:
    """All of them, with their cards and an empty balance each. False when somebody has meanwhile taken an id,
    a person or a card of theirs: the caller's transaction is then to be rolled back.
    """
    added = await conn.execute(
        _ADD,
        {
            "program_ids": [m.program_id for m in members],
            "member_ids": [m.member_id for m in members],
            "countries": [m.country for m in members],
            "kinds": [m.kind for m in members],
            "birth_dates": [m.birth_date for m in members],
            "person_hashes": [m.person_hash for m in members],
            "phones": [m.phone for m in members],
            "referral_codes": [m.referral_code for m in members],
            "now": now,
        },
    )
    if added.rowcount != len(members):
        return False
    await add_joining_rows(conn, [(m.program_id, m.member_id) for m in members])
    cards = [(m.program_id, card, m.member_id) for m in members for card in m.card_numbers]
    if not cards:
        return True
    linked = await conn.execute(
        _ADD_CARDS,
        {
            "program_ids": [card[0] for card in cards],
            "card_numbers": [card[1] for card in cards],
            "member_ids": [card[2] for card in cards],
        },
    )
    return linked.rowcount == len(cards)
