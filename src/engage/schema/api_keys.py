"""Keys of the shop's servers and of operators, as hashes."""

from sqlalchemy import ARRAY, LargeBinary, PrimaryKeyConstraint, Table, Text

from engage.schema.columns import INSTANT, metadata, optional, required

api_keys = Table(
    "api_keys",
    metadata,
    required("id", Text),
    required("name", Text),
    required("secret_hash", LargeBinary),
    required("scopes", ARRAY(Text, as_tuple=True)),
    required("created_at", INSTANT),
    optional("revoked_at", INSTANT),
    PrimaryKeyConstraint("id"),
)
