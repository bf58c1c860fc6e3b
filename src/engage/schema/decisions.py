"""Decisions that many credits share: why they were granted, without the instant of the activity.

A tap of one market and day, at one length of the streak, is decided alike for everybody. Only what names
nothing of a member's own is stored here: an activity with a reference has its `why` in its credit.
"""

from sqlalchemy import Identity, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import Column, Index

from engage.schema.columns import metadata, required

# `digest` is of the stored text of `why` (sha256). A decision is never changed, and never deleted.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, Identity(always=True), nullable=False),
    required("digest", LargeBinary),
    required("program_version", Text),
    required("why", JSONB),
    PrimaryKeyConstraint("id"),
    Index("decisions_digest", "digest", unique=True),
)
