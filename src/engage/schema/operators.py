"""Operators of the console, and their sessions. Passwords and sessions as hashes.

Times are the database's, without the sandbox's offset: a test clock that advances signs nobody out.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)

from engage.domain.operators.roles import ROLES
from engage.schema.columns import IDENTIFIER, INSTANT, check, metadata, one_of, optional, required

# `programs` as of an API key. `failures` counts attempts since the last success, the newest at `failed_at`.
# `totp_secret` is encrypted; `totp_step` is the newest time step whose code was used, so none works twice.
operators = Table(
    "operators",
    metadata,
    required("id", Uuid),
    required("email", IDENTIFIER),
    required("role", Text),
    optional("programs", ARRAY(Text, as_tuple=True)),
    optional("password_hash", Text),
    required("has_to_change", Boolean, "false"),
    optional("totp_secret", LargeBinary),
    optional("totp_step", BigInteger),
    required("failures", Integer, "0"),
    optional("failed_at", INSTANT),
    required("created_at", INSTANT),
    optional("disabled_at", INSTANT),
    PrimaryKeyConstraint("id"),
    one_of("operators_role_check", "role", *ROLES),
    check("operators_email_check", "email = lower(email) AND email LIKE '%_@_%'"),
    check("operators_failures_check", "failures >= 0"),
    Index("operators_email", "email", unique=True),
)

operator_sessions = Table(
    "operator_sessions",
    metadata,
    required("token_hash", LargeBinary),
    required("operator_id", Uuid),
    required("form_token", Text),
    required("created_at", INSTANT),
    required("seen_at", INSTANT),
    PrimaryKeyConstraint("token_hash"),
    ForeignKeyConstraint(["operator_id"], ["operators.id"]),
    Index("operator_sessions_of_operator", "operator_id"),
    Index("operator_sessions_age", "seen_at"),
)
