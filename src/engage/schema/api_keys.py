"""Keys of the shop's servers and of operators, as hashes."""

from sqlalchemy import ARRAY, LargeBinary, PrimaryKeyConstraint, Table, Text

from engage.schema.columns import INSTANT, metadata, optional, required

# A key opens the calls about its `programs`; null is every program, those to come included.
api_keys = Table(
    "api_keys",
    metadata,
    required("id", Text),
    required("name", Text),
    required("secret_hash", LargeBinary),
    required("scopes", ARRAY(Text, as_tuple=True)),
    optional("programs", ARRAY(Text, as_tuple=True)),
    required("created_at", INSTANT),
    optional("revoked_at", INSTANT),
    PrimaryKeyConstraint("id"),
)
