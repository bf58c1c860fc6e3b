"""Traits of members: keyed hashes by which two members are recognised as one person."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.referrals.referral import Trait
from engage.domain.referrals.traits import trait_hash
from engage.schema.referrals import member_traits as table
from engage.schema.rows import Batch

# The newest of each kind; nobody has more phones and addresses than these.
KEPT: Final = 50

_NEW = Batch("n", table, "kind", "hash")

_ADD = text(f"""
INSERT INTO member_traits AS t (program_id, member_id, kind, hash, seen_at)
SELECT :program_id, :member_id, kind, hash, :now FROM {_NEW} ORDER BY kind, hash
ON CONFLICT (program_id, member_id, kind, hash)
    DO UPDATE SET seen_at = greatest(t.seen_at, excluded.seen_at)
""")  # noqa: S608  # Names of the schema, here and below.

_DROP_OLD = text("""
DELETE FROM member_traits t USING (
    SELECT kind, hash, row_number() OVER (PARTITION BY kind ORDER BY seen_at DESC, hash) AS place
    FROM member_traits WHERE program_id = :program_id AND member_id = :member_id
) o
WHERE t.program_id = :program_id AND t.member_id = :member_id AND t.kind = o.kind AND t.hash = o.hash
  AND o.place > :kept
""")

_READ = text("""
SELECT member_id, kind, hash, NULL AS number FROM member_traits
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
UNION ALL
SELECT member_id, 'phone', NULL, phone FROM members
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[])) AND phone IS NOT NULL
UNION ALL
SELECT member_id, 'card', NULL, card_number FROM card_numbers
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")


async def add_traits(
    conn: AsyncConnection,
    key: MemberKey,
    traits: Iterable[tuple[Trait, str]],
    *,
    peppers: Sequence[str],
    now: datetime,
) -> None:
    """Store hashes of what a member has or had, each once, the newest KEPT of a kind. What the member's own
    row has, such as the phone number, need not be stored.

    With several peppers there is a hash for each: others may have been compared, or will be, by one of them.
    """
    hashed = {
        (kind, found)
        for kind, written in traits
        for pepper in peppers
        if (found := trait_hash(key[0], kind, written, pepper=pepper))
    }
    if not hashed:
        return
    of_member = {"program_id": key[0], "member_id": key[1]}
    await conn.execute(_ADD, _NEW.of(sorted(hashed)) | of_member | {"now": now})
    await conn.execute(_DROP_OLD, of_member | {"kept": KEPT * len(peppers)})


async def shared_traits(
    conn: AsyncConnection, program_id: str, members: Sequence[str], *, peppers: Sequence[str]
) -> set[Trait]:
    """Find what two members have in common, now or earlier."""
    one, other = members
    has: dict[str, set[tuple[Trait, bytes | None]]] = {one: set(), other: set()}
    for row in await conn.execute(_READ, {"program_id": program_id, "member_ids": [one, other]}):
        if row.number is None:
            hashes = [row.hash]
        else:
            hashes = [trait_hash(program_id, row.kind, row.number, pepper=pepper) for pepper in peppers]
        has[row.member_id].update((row.kind, hashed) for hashed in hashes)
    return {kind for kind, _ in has[one] & has[other]}
