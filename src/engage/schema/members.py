"""Members, their cards and numbers, what persons have earned once, and who merged or erased members."""

from sqlalchemy import (
    Date,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from engage.schema.columns import IDENTIFIER, INSTANT, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Delete, Keep, Move, Rewrite, Statement, member_rows

# The survivor keeps its own numbers with their ages. The number that it takes over is new to it, as are all
# others of the merged member when they are named again.
_MERGE_NUMBERS = """
WITH forgotten AS (
    DELETE FROM payee_numbers WHERE program_id = :program_id AND member_id = :member_id
)
INSERT INTO payee_numbers (program_id, member_id, phone, since)
SELECT m.program_id, m.member_id, old.phone, :now
FROM members m JOIN members old ON old.program_id = m.program_id AND old.member_id = :member_id
WHERE m.program_id = :program_id AND m.member_id = :into AND m.phone IS NULL AND old.phone IS NOT NULL
ON CONFLICT DO NOTHING
"""

# The phone numbers that money may go to, each `since` the member first named it, registered or in a
# withdrawal; null for the number with which they joined. A number that is taken off the member is forgotten.
payee_numbers = Table(
    "payee_numbers",
    metadata,
    *member_key(),
    required("phone", Text),
    optional("since", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "phone"),
    info=member_rows(merge=Statement(_MERGE_NUMBERS), erase=Delete()),
)

# What persons have earned once in their lives, for those whose accounts were erased: a keyed hash of the
# reference and the keys of the slots. It outlives the erasure, so that joining again pays nothing again.
person_slots = Table(
    "person_slots",
    metadata,
    required("program_id", IDENTIFIER),
    required("person_hash", LargeBinary),
    required("source_key", IDENTIFIER),
    required("rule_id", Text),
    required("program_version", Text),
    PrimaryKeyConstraint("person_hash", "program_id", "source_key"),
)

# The member who was merged keeps the hash of their person reference: that person does not join again either.
_MERGE = """
WITH old AS (
    SELECT phone, birth_date, referral_code, joined_at FROM members
    WHERE program_id = :program_id AND member_id = :member_id
), emptied AS (
    UPDATE members
    SET merged_into = :into, closed_at = :wall, phone = NULL, phone_changed_at = NULL, birth_date = NULL,
        referral_code = NULL
    WHERE program_id = :program_id AND (member_id = :member_id OR merged_into = :member_id)
)
UPDATE members m
SET phone = coalesce(m.phone, old.phone), birth_date = coalesce(m.birth_date, old.birth_date),
    referral_code = coalesce(m.referral_code, old.referral_code),
    joined_at = least(m.joined_at, old.joined_at),
    phone_changed_at = CASE WHEN m.phone IS NULL AND old.phone IS NOT NULL THEN :now
                       ELSE m.phone_changed_at END
FROM old WHERE m.program_id = :program_id AND m.member_id = :into
"""

# The row of a member who was merged or erased stays, as the owner of their entries. `closed_at` is wall time:
# processes look for members who were closed since they last looked. `birthday_at` is when the next birthday
# begins, once a worker has looked, for members of programs that have a rule about it.
members = Table(
    "members",
    metadata,
    *member_key(),
    required("country", Text),
    required("kind", Text),
    optional("birth_date", Date),
    optional("person_hash", LargeBinary),
    optional("phone", Text),
    optional("referral_code", Text),
    required("joined_at", INSTANT),
    optional("merged_into", IDENTIFIER),
    optional("erased_at", INSTANT),
    optional("phone_changed_at", INSTANT),
    optional("closed_at", INSTANT),
    optional("birthday_at", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id"),
    UniqueConstraint("person_hash", "program_id", name="members_person"),
    one_of("members_kind_check", "kind", "person", "company"),
    Index("members_closed", "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
    Index(
        "members_birthday",
        "birthday_at",
        postgresql_where=text("birthday_at IS NOT NULL AND closed_at IS NULL"),
    ),
    Index(
        "members_without_birthday",
        "program_id",
        postgresql_where=text("birth_date IS NOT NULL AND birthday_at IS NULL AND closed_at IS NULL"),
    ),
    Index("members_phone", "phone", "program_id", postgresql_where=text("phone IS NOT NULL")),
    Index("members_merged", "program_id", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
    info=member_rows(
        merge=Statement(_MERGE),
        erase=Rewrite(
            {
                "birth_date": "NULL",
                "birthday_at": "NULL",
                "phone": "NULL",
                "phone_changed_at": "NULL",
                "person_hash": "NULL",
                "referral_code": "NULL",
                "merged_into": "NULL",
                "erased_at": ":now",
                "closed_at": ":wall",
            }
        ),
    ),
)

# While a table is small, an index that begins with the program looks as good as the primary key, and a plan
# that was made then walks over the whole program for each of a thousand rows later. So this one ends with it.
card_numbers = Table(
    "card_numbers",
    metadata,
    required("program_id", IDENTIFIER),
    required("card_number", IDENTIFIER),
    required("member_id", IDENTIFIER),
    PrimaryKeyConstraint("program_id", "card_number"),
    ForeignKeyConstraint(["program_id", "member_id"], ["members.program_id", "members.member_id"]),
    Index("card_numbers_of_member", "member_id", "program_id"),
    info=member_rows(merge=Move(), erase=Delete()),
)

# Who merged or erased a member, and why: once each.
closings = Table(
    "closings",
    metadata,
    *member_key(),
    required("what", Text),
    optional("merged_into", IDENTIFIER),
    optional("reason", Text),
    required("operator", Text),
    required("at", INSTANT),
    PrimaryKeyConstraint("program_id", "member_id", "what"),
    one_of("closings_what_check", "what", "merged", "erased"),
    info=member_rows(
        merge=Keep("A closing names the account that was closed."), erase=Rewrite({"reason": "NULL"})
    ),
)
