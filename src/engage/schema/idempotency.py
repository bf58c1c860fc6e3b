"""Answers that are kept under the Idempotency-Key of their request, written with what it did.

By the database's time: how long a client may repeat a request has nothing to do with the sandbox's clock.
"""

from sqlalchemy import Index, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table
from sqlalchemy.dialects.postgresql import JSONB

from engage.domain.keys import MEMBER_CALLER
from engage.schema.columns import IDENTIFIER, INSTANT, metadata, required
from engage.schema.member_rows import Delete, Keep, member_rows

# The shop's requests are stored under the id of its key.
_OF_MEMBERS = f"""caller IN (
    SELECT '{MEMBER_CALLER}' || CAST(:program_id AS text) || ':' || member_id
    FROM unnest(CAST(:member_ids AS text[])) AS m (member_id)
)"""  # noqa: S608  # A constant; as `engage.domain.keys.member_caller` makes it.

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    required("caller", IDENTIFIER),
    required("key", IDENTIFIER),
    required("fingerprint", LargeBinary),
    required("created_at", INSTANT),
    required("status", SmallInteger),
    required("headers", JSONB),
    required("body", LargeBinary),
    PrimaryKeyConstraint("caller", "key"),
    Index("idempotency_keys_age", "created_at"),
    info=member_rows(
        merge=Keep("A repeated request has the token of the old id."), erase=Delete(_OF_MEMBERS)
    ),
)
