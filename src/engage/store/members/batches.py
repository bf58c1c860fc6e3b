"""Members in batches, as an import brings them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.members import card_numbers, members
from engage.schema.rows import Batch
from engage.store.members.members import NewMember, add_joining_rows, lock_persons
from engage.store.members.payee_numbers import add_joined_with


class StoredMember(msgspec.Struct, frozen=True):
    """`closed`: merged into another member, or erased."""

    country: str
    closed: bool


class StoredRows(msgspec.Struct, frozen=True):
    """Rows that are stored: members by id, hashes of persons, owners by card number."""

    members: dict[str, StoredMember]
    persons: set[bytes]
    cards: dict[str, str]


# The program is a column of each batch: with one value for all rows, the plan for a table without statistics
# reads all members of the program.
_IDS = Batch("k", members, "program_id", "member_id")
_PERSONS = Batch("k", members, "program_id", "person_hash")
_CARDS = Batch("k", card_numbers, "program_id", "card_number")
_NEW = Batch(
    *("n", members, "program_id", "member_id", "country", "kind", "birth_date", "person_hash", "phone"),
    "referral_code",
)
_REHASHED = Batch("k", members, "program_id", "member_id", "person_hash", earlier="bytea")
_NEW_CARDS = Batch("c", card_numbers, "program_id", "card_number", "member_id")

_READ_MEMBERS = text(f"""
SELECT m.member_id, m.country, m.merged_into IS NOT NULL OR m.erased_at IS NOT NULL
FROM {_IDS} JOIN members m ON m.program_id = k.program_id AND m.member_id = k.member_id
""")  # noqa: S608  # Names of the schema, here and below.

_READ_PERSONS = text(f"""
SELECT m.person_hash
FROM {_PERSONS} JOIN members m ON m.program_id = k.program_id AND m.person_hash = k.person_hash
""")  # noqa: S608

_READ_CARDS = text(f"""
SELECT c.card_number, c.member_id
FROM {_CARDS} JOIN card_numbers c ON c.program_id = k.program_id AND c.card_number = k.card_number
""")  # noqa: S608

# In key order, as every writer takes the keys of one member after another's.
_ADD = text(f"""
INSERT INTO members ({_NEW.columns}, joined_at)
SELECT {_NEW.columns}, :now FROM {_NEW}
ORDER BY program_id COLLATE "C", member_id COLLATE "C"
ON CONFLICT DO NOTHING
""")  # noqa: S608

_ADD_CARDS = text(f"""
INSERT INTO card_numbers ({_NEW_CARDS.columns})
SELECT {_NEW_CARDS.columns} FROM {_NEW_CARDS}
ORDER BY program_id COLLATE "C", card_number COLLATE "C"
ON CONFLICT DO NOTHING
""")  # noqa: S608


# Of two members whose references have one form, and who joined before forms were compared, one gets its hash.
_REHASH = text(f"""
UPDATE members m SET person_hash = k.person_hash
FROM (
    SELECT DISTINCT ON (k.person_hash) k.*
    FROM {_REHASHED} JOIN members e
        ON e.program_id = k.program_id AND e.member_id = k.member_id AND e.person_hash = k.earlier
    ORDER BY k.person_hash, k.member_id
) k
WHERE m.program_id = k.program_id AND m.member_id = k.member_id AND m.person_hash = k.earlier
  AND NOT EXISTS (
      SELECT FROM members o WHERE o.person_hash = k.person_hash AND o.program_id = k.program_id
  )
""")  # noqa: S608


async def read_stored(
    conn: AsyncConnection,
    program_id: str,
    *,
    member_ids: Sequence[str],
    person_hashes: Sequence[bytes],
    card_numbers: Sequence[str],
) -> StoredRows:
    """Read which of these ids, persons and cards are taken in a program."""
    stored = await conn.execute(_READ_MEMBERS, _IDS.of((program_id, id_) for id_ in member_ids))
    persons = await conn.execute(_READ_PERSONS, _PERSONS.of((program_id, hash_) for hash_ in person_hashes))
    cards = await conn.execute(_READ_CARDS, _CARDS.of((program_id, card) for card in card_numbers))
    return StoredRows(
        members={member_id: StoredMember(country, closed) for member_id, country, closed in stored},
        persons=set(persons.scalars()),
        cards={row.card_number: row.member_id for row in cards},
    )


async def add_members(conn: AsyncConnection, new: Sequence[NewMember], *, now: datetime) -> bool:
    """Add members with their cards, all or none.

    False when another transaction has meanwhile taken an id, a person or a card of theirs: the caller must
    roll back.
    """
    added = await conn.execute(_ADD, _NEW.of_structs(new) | {"now": now})
    if added.rowcount != len(new):
        return False
    await add_joining_rows(conn, [member.key for member in new])
    await add_joined_with(
        conn,
        [(member.key, member.phone) for member in new if member.phone is not None],
    )
    cards = [(member.program_id, card, member.member_id) for member in new for card in member.card_numbers]
    if not cards:
        return True
    linked = await conn.execute(_ADD_CARDS, _NEW_CARDS.of(cards))
    return linked.rowcount == len(cards)


async def rehash_persons(conn: AsyncConnection, program_id: str, brought: Sequence[NewMember]) -> None:
    """Give those of these members who joined before references had one form, or under another pepper, the
    hash that they would get today.

    Only a file that brings their references again can do that: hashes reveal nothing.
    """
    await lock_persons(conn, brought)
    rows = [
        (program_id, member.member_id, member.person_hash, earlier)
        for member in brought
        for earlier in member.earlier_hashes
    ]
    if rows:
        await conn.execute(_REHASH, _REHASHED.of(rows))
