"""Members and their cards."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import delete, exists, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.keys import CardKey, MemberKey
from engage.domain.refusals import AccountClosed, Code, Refusal
from engage.schema.member_rows import JOINING, join_sql, tables_of_members
from engage.schema.members import card_numbers, members
from engage.schema.rows import Batch, columns, from_row, of_member
from engage.store.members.payee_numbers import add_joined_with, add_number, forget_number

_LOCK_PERSONS = text("SELECT pg_advisory_xact_lock(number) FROM unnest(CAST(:numbers AS bigint[])) AS number")

_OF_PERSONS = text("""
SELECT 1 FROM members WHERE person_hash = ANY(CAST(:hashes AS bytea[])) AND program_id = :program_id LIMIT 1
""")


class Member(msgspec.Struct, frozen=True):
    """A member, as far as decisions need to know them."""

    program_id: str
    member_id: str
    country: str
    joined_at: datetime

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member to add. `earlier_hashes` are what earlier releases, or earlier peppers, made of the same
    reference: nobody joins whose reference has one of them.
    """

    program_id: str
    member_id: str
    country: str
    kind: str
    birth_date: date | None
    person_hash: bytes | None
    earlier_hashes: Sequence[bytes]
    phone: str | None
    referral_code: str | None
    card_numbers: Sequence[str]

    @property
    def key(self) -> MemberKey:
        return self.program_id, self.member_id

    @property
    def person_hashes(self) -> list[bytes]:
        """Every hash under which the person may be known."""
        return [*([] if self.person_hash is None else [self.person_hash]), *self.earlier_hashes]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a member. One who was `merged_into` another, or erased, has little in it."""

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
    """A former member: merged into another one, or erased (None). `closed_at` is wall time."""

    program_id: str
    member_id: str
    merged_into: str | None
    closed_at: datetime


_KEYS = Batch("k", members, "program_id", "member_id")
_CARDS = Batch("k", card_numbers, "program_id", "card_number")
_NEW_CARDS = Batch("c", card_numbers, "program_id", "card_number", "member_id")

_LOCK_MEMBERS = text("LOCK TABLE members IN SHARE MODE")

# A member who was merged is found as the survivor; nobody is merged into a member who is merged. Member by
# member, by key: joined at once, while the table is not analyzed, each is compared with all of the program.
_READ = DirectStatement(
    text(f"""
SELECT k.program_id, k.member_id, s.member_id, s.country, s.joined_at
FROM {_KEYS}
CROSS JOIN LATERAL (
    SELECT coalesce(m.merged_into, m.member_id) AS member_id FROM members m
    WHERE m.program_id = k.program_id AND m.member_id = k.member_id
    OFFSET 0
) m
CROSS JOIN LATERAL (
    SELECT s.member_id, s.country, s.joined_at, s.erased_at FROM members s
    WHERE s.program_id = k.program_id AND s.member_id = m.member_id
    OFFSET 0
) s
WHERE s.erased_at IS NULL
""")  # noqa: S608  # Names of the schema, here and below.
)

_LOCK_OPEN = text(f"""
SELECT m.program_id, m.member_id
FROM {_KEYS} JOIN members m USING (program_id, member_id)
WHERE m.closed_at IS NULL
ORDER BY m.program_id, m.member_id
FOR KEY SHARE OF m
""")  # noqa: S608

_READ_OWNERS = text(f"""
SELECT c.program_id, c.card_number, c.member_id
FROM {_CARDS} JOIN card_numbers c USING (program_id, card_number)
""")  # noqa: S608

_ADD_CARDS = text(f"""
INSERT INTO card_numbers ({_NEW_CARDS.columns})
SELECT {_NEW_CARDS.columns} FROM {_NEW_CARDS}
ORDER BY program_id COLLATE "C", card_number COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING card_number
""")  # noqa: S608


async def read_members(conn: AsyncConnection, keys: Sequence[MemberKey]) -> dict[MemberKey, Member]:
    """Read members by the keys given; a key of a member who was merged leads to the survivor.

    Unknown and erased members are absent.
    """
    rows = await _READ.fetch(conn, _KEYS.of(keys))
    return {(program_id, given_id): Member(program_id, *member) for program_id, given_id, *member in rows}


async def read_members_after(conn: AsyncConnection, key: MemberKey, *, limit: int) -> list[Member]:
    """Read the members after a key, in key order; all of them begin after ("", "")."""
    rows = await conn.execute(
        select(*columns(members, Member))
        .where(tuple_(members.c.program_id, members.c.member_id) > key, members.c.closed_at.is_(None))
        .order_by(members.c.program_id, members.c.member_id)
        .limit(limit)
    )
    return [Member(*row) for row in rows]


async def has_members(conn: AsyncConnection, program_id: str) -> bool:
    """Return whether a program has members, former ones included. Until the transaction ends, nobody can join
    any program.
    """
    await conn.execute(_LOCK_MEMBERS)
    return (await conn.execute(select(exists().where(members.c.program_id == program_id)))).scalar_one()


async def count_members(conn: AsyncConnection) -> int:
    query = select(func.count()).select_from(members).where(members.c.closed_at.is_(None))
    return (await conn.execute(query)).scalar_one()


async def read_profiles(conn: AsyncConnection, program_ids: Sequence[str], member_id: str) -> list[Profile]:
    """Read the members with this id in these programs, former members included."""
    rows = await conn.execute(
        select(*columns(members, Profile)).where(
            members.c.program_id.in_(program_ids), members.c.member_id == member_id
        )
    )
    return [from_row(Profile, row) for row in rows]


async def read_profiles_of(
    conn: AsyncConnection, keys: Iterable[MemberKey], phones: Iterable[tuple[str, str]], *, limit: int
) -> list[Profile]:
    """Read the members with these keys, former ones included, and those with these (program, phone)."""
    key = tuple_(members.c.program_id, members.c.member_id)
    phone = tuple_(members.c.program_id, members.c.phone)
    rows = await conn.execute(
        select(*columns(members, Profile))
        .where(or_(key.in_(sorted(set(keys))), phone.in_(sorted(set(phones)))))
        .order_by(members.c.program_id, members.c.member_id)
        .limit(limit)
    )
    return [from_row(Profile, row) for row in rows]


async def lock_profiles(
    conn: AsyncConnection, program_id: str, member_ids: Iterable[str]
) -> dict[str, Profile]:
    """Lock members in key order until the transaction ends; by id. Comes before any lock of the ledger."""
    rows = await conn.execute(
        select(*columns(members, Profile))
        .where(members.c.program_id == program_id, members.c.member_id.in_(sorted(set(member_ids))))
        .order_by(members.c.member_id)
        .with_for_update()
    )
    return {row.member_id: from_row(Profile, row) for row in rows}


async def lock_open(conn: AsyncConnection, keys: Iterable[MemberKey]) -> None:
    """Let nobody merge or erase these members until the transaction ends. Comes before locks of the ledger.

    For what is written of members though no points move. Raises AccountClosed where one was merged or erased:
    a merger that is under way is waited for.
    """
    wanted = sorted(set(keys))
    if len((await conn.execute(_LOCK_OPEN, _KEYS.of(wanted))).all()) < len(wanted):
        raise AccountClosed


async def read_merged_into(conn: AsyncConnection, key: MemberKey) -> list[str]:
    """Read the ids that were merged into this member."""
    rows = await conn.execute(
        select(members.c.member_id)
        .where(members.c.program_id == key[0], members.c.merged_into == key[1])
        .order_by(members.c.member_id)
    )
    return list(rows.scalars())


async def read_closed_members(conn: AsyncConnection, since: datetime | None) -> list[ClosedMember]:
    """Read the members who were merged or erased at an instant of wall time or later; all of them
    for None.
    """
    query = select(*columns(members, ClosedMember)).where(members.c.closed_at.is_not(None))
    if since is not None:
        query = query.where(members.c.closed_at >= since)
    return [from_row(ClosedMember, row) for row in await conn.execute(query)]


async def read_card_owners(conn: AsyncConnection, cards: Sequence[CardKey]) -> dict[CardKey, str]:
    """Read member ids by (program, card number). Numbers are in stored form
    (`engage.domain.members.cards`).
    """
    rows = await conn.execute(_READ_OWNERS, _CARDS.of(cards))
    return {(program_id, card): member_id for program_id, card, member_id in rows}


async def read_cards(conn: AsyncConnection, key: MemberKey) -> list[str]:
    rows = await conn.execute(
        select(card_numbers.c.card_number)
        .where(of_member(card_numbers, key))
        .order_by(card_numbers.c.card_number)
    )
    return list(rows.scalars())


async def add_member(conn: AsyncConnection, member: NewMember, *, now: datetime) -> None:
    """Add a member with their cards.

    Raises Refusal member_exists, member_erased, person_has_account or card_taken; the caller's transaction
    must then end.
    """
    key = member.key
    if member.earlier_hashes:
        await lock_persons(conn, [member])
        if await _have_account(conn, key[0], member.earlier_hashes):
            raise Refusal(Code.PERSON_HAS_ACCOUNT)
    row = msgspec.structs.asdict(member) | {"joined_at": now}
    del row["card_numbers"], row["earlier_hashes"]
    added = await conn.execute(
        upsert(members).values(row).on_conflict_do_nothing().returning(members.c.member_id)
    )
    if added.first() is None:
        erased = (
            await conn.execute(select(members.c.erased_at.is_not(None)).where(of_member(members, key)))
        ).scalar()
        if erased:
            raise member_erased()
        raise Refusal(Code.PERSON_HAS_ACCOUNT if erased is None else Code.MEMBER_EXISTS)
    await add_cards(conn, key, member.card_numbers)
    await add_joining_rows(conn, [key])
    if member.phone is not None:
        await add_joined_with(conn, [(key, member.phone)])


async def lock_persons(conn: AsyncConnection, joining: Sequence[NewMember]) -> None:
    """Let the persons of these members join one after the other, whichever pepper a process hashes with.

    The table keeps a hash unique, and not a person: while peppers are rotated, processes may differ in which
    one is the first.
    """
    hashes = {hashed for member in joining if member.earlier_hashes for hashed in member.person_hashes}
    if hashes:
        numbers = {int.from_bytes(hashed[:8], "big", signed=True) for hashed in hashes}
        await conn.execute(_LOCK_PERSONS, {"numbers": sorted(numbers)})


async def _have_account(conn: AsyncConnection, program_id: str, hashes: Sequence[bytes]) -> bool:
    found = await conn.execute(_OF_PERSONS, {"hashes": list(hashes), "program_id": program_id})
    return found.first() is not None


async def add_joining_rows(conn: AsyncConnection, keys: Sequence[MemberKey]) -> None:
    """Add a row for each new member to the tables that have one for every member."""
    for table, policies in tables_of_members():
        if policies.join:
            await conn.execute(text(join_sql(table)), JOINING.of(keys))


async def add_cards(conn: AsyncConnection, key: MemberKey, numbers: Sequence[str]) -> None:
    """Give a member cards. Raises Refusal card_taken where another member has one; the transaction
    must end.
    """
    if not numbers:
        return
    added = await conn.execute(_ADD_CARDS, _NEW_CARDS.of([(key[0], number, key[1]) for number in numbers]))
    missing = set(numbers) - set(added.scalars())
    if missing:
        missing -= set(await read_cards(conn, key))
    if missing:
        raise Refusal(Code.CARD_TAKEN, card_numbers=sorted(missing))


async def drop_cards(conn: AsyncConnection, key: MemberKey, numbers: Sequence[str]) -> None:
    """Take cards off a member, those that are theirs: another member can have them from now on."""
    if numbers:
        of_these = card_numbers.c.card_number.in_(numbers)
        await conn.execute(delete(card_numbers).where(of_member(card_numbers, key), of_these))


async def set_phone(conn: AsyncConnection, profile: Profile, phone: str | None, *, now: datetime) -> None:
    """Register another phone number, or none. The old one is not the member's any more."""
    await conn.execute(
        update(members).where(of_member(members, profile.key)).values(phone=phone, phone_changed_at=now)
    )
    if profile.phone is not None:
        await forget_number(conn, profile.key, profile.phone)
    if phone is not None:
        await add_number(conn, profile.key, phone, now=now)


def member_erased() -> Refusal:
    return Refusal(Code.MEMBER_ERASED)
