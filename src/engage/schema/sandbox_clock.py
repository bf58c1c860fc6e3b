"""The offset of the sandbox's clock from the database's: one row in a sandbox, none elsewhere."""

from sqlalchemy import Boolean, Interval, PrimaryKeyConstraint, Table

from engage.schema.columns import check, metadata, required

sandbox_clock = Table(
    "sandbox_clock",
    metadata,
    required("one", Boolean, "true"),
    required("ahead", Interval),
    PrimaryKeyConstraint("one"),
    check("sandbox_clock_one_check", "one"),
)
