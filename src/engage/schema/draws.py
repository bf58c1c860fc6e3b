"""Prize draws that somebody has entered: the draw, its entries, and the list that the freeze makes of them.

Entries are personal, and leave with an erasure. The frozen list is not: it has numbers and salted digests
alone, never changes, and is what certificates show.
"""

from sqlalchemy import BigInteger, Boolean, Index, Integer, PrimaryKeyConstraint, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import (
    IDENTIFIER,
    INSTANT,
    check,
    member_key,
    metadata,
    one_of,
    optional,
    required,
)
from engage.schema.member_rows import Delete, Statement, member_rows

# The row is made with the first entry, under the version of the definition that is in force then. Entries
# take their numbers under its lock, and the freeze needs it: an entry is in the list or was refused.
draws = Table(
    "draws",
    metadata,
    required("program_id", IDENTIFIER),
    required("draw_id", IDENTIFIER),
    required("version", Text),
    required("state", Text),
    required("closes_at", INSTANT),
    required("round_after_s", Integer),
    required("prizes", Integer),
    required("points", BigInteger),
    required("reserved", Boolean, "false"),  # All prizes are taken from the budget of the campaign.
    required("last_number", Integer, "0"),
    optional("published_at", INSTANT),  # When the list was frozen.
    optional("entries", Integer),
    optional("root", Text),
    optional("beacon", Text),
    optional("public_key", Text),
    optional("round", BigInteger),
    optional("round_at", INSTANT),
    optional("ask_at", INSTANT),  # When to ask the beacon next.
    required("asked", Integer, "0"),
    optional("signature", Text),
    optional("drawn_at", INSTANT),
    PrimaryKeyConstraint("program_id", "draw_id"),
    one_of("draws_state_check", "state", "open", "frozen", "drawn", "void"),
    check("draws_frozen_check", "(state = 'open') = (published_at IS NULL)"),
    check("draws_early_check", "published_at >= closes_at"),
    check("draws_list_check", "(root IS NULL) = (round IS NULL) AND (round IS NULL) = (round_at IS NULL)"),
    check("draws_round_check", "round_at > published_at"),
    check("draws_drawn_check", "(state = 'drawn') = (signature IS NOT NULL AND drawn_at IS NOT NULL)"),
    check("draws_drawn_early_check", "drawn_at >= round_at"),
    check("draws_asking_check", "(state = 'frozen') = (ask_at IS NOT NULL)"),
    Index("draws_closing", "closes_at", postgresql_where=text("state = 'open'")),
    Index("draws_asking", "ask_at", postgresql_where=text("state = 'frozen'")),
)

_SURVIVORS = """
    SELECT FROM draw_entries s
    WHERE s.program_id = e.program_id AND s.draw_id = e.draw_id AND s.member_id = :into
"""

# `entered_as` is the member's id at the entry, of which the digest is: it stays when the entry moves.
# `prize_at` is when a winner's prize falls due. It is `withheld` where the campaign of the draw may give the
# winner no more.
draw_entries = Table(
    "draw_entries",
    metadata,
    *member_key(),
    required("draw_id", IDENTIFIER),
    required("number", Integer),
    required("entry_id", Uuid),
    required("entered_as", IDENTIFIER),
    required("salt", Text),
    required("hash", Text),
    optional("post", JSONB),
    required("entered_at", INSTANT),
    optional("prize_at", INSTANT),
    optional("paid_at", INSTANT),
    required("withheld", Boolean, "false"),
    PrimaryKeyConstraint("program_id", "draw_id", "number"),
    check("draw_entries_number_check", "number > 0"),
    check("draw_entries_paid_check", "paid_at >= prize_at"),
    Index("draw_entries_of_member", "program_id", "member_id", "draw_id", unique=True),
    check("draw_entries_withheld_check", "NOT withheld OR paid_at IS NULL"),
    Index(
        "draw_entries_unpaid",
        "prize_at",
        postgresql_where=text("prize_at IS NOT NULL AND paid_at IS NULL AND NOT withheld"),
    ),
    # While a draw is open a member has one entry: the survivor's own, or else the other's. The lock waits for
    # a freeze, after which both stay as they are listed.
    info=member_rows(
        merge=Statement(f"""
            WITH open AS MATERIALIZED (
                SELECT d.draw_id FROM draws d
                WHERE d.program_id = :program_id AND d.state = 'open'
                  AND EXISTS (
                      SELECT FROM draw_entries e
                      WHERE e.program_id = d.program_id AND e.draw_id = d.draw_id AND e.member_id = :member_id
                  )
                ORDER BY d.draw_id
                FOR SHARE OF d
            ), moved AS (
                UPDATE draw_entries e SET member_id = :into
                WHERE e.program_id = :program_id AND e.member_id = :member_id AND NOT EXISTS ({_SURVIVORS})
            )
            DELETE FROM draw_entries e
            USING open
            WHERE e.program_id = :program_id AND e.member_id = :member_id AND e.draw_id = open.draw_id
              AND EXISTS ({_SURVIVORS})
        """),  # noqa: S608  # Names of the schema.
        erase=Delete(),
    ),
)

draw_list = Table(
    "draw_list",
    metadata,
    required("program_id", IDENTIFIER),
    required("draw_id", IDENTIFIER),
    required("number", Integer),
    required("hash", Text),
    optional("place", Integer),  # Of a winner: 1 is drawn first.
    PrimaryKeyConstraint("program_id", "draw_id", "number"),
    check("draw_list_place_check", "place > 0"),
    Index(
        "draw_list_winners",
        *("program_id", "draw_id", "place"),
        unique=True,
        postgresql_where=text("place IS NOT NULL"),
    ),
)
