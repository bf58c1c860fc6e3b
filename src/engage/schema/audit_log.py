"""The audit log: what operators did. Entries are added and never changed.

Each entry has the next number and a digest over itself and the digest before it, and the head has the last of
both. So whoever gets around the triggers breaks the chain.
"""

from sqlalchemy import BigInteger, Boolean, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, metadata, optional, required
from engage.schema.triggers import append_only

# `subject` is what the deed was about, such as `program:eu-mi-points`. Members are never named.
audit_log = Table(
    "audit_log",
    metadata,
    required("id", Uuid),
    required("seq", BigInteger),
    required("at", INSTANT),
    optional("program_id", IDENTIFIER),
    required("operator", Text),
    required("subject", IDENTIFIER),
    required("action", Text),
    optional("reason", Text),
    optional("before", JSONB),
    optional("after", JSONB),
    required("digest", LargeBinary),
    PrimaryKeyConstraint("id"),
    check("audit_log_seq_check", "seq > 0"),
    Index("audit_log_seq", "seq", unique=True),
    Index("audit_log_of_subject", "subject", "seq"),
)
append_only(audit_log)

# One row, which whoever adds an entry locks until the commit.
audit_log_head = Table(
    "audit_log_head",
    metadata,
    required("one", Boolean, "true"),
    required("seq", BigInteger),
    required("digest", LargeBinary),
    PrimaryKeyConstraint("one"),
    check("audit_log_head_one_check", "one"),
)
