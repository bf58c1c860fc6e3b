"""Ids made here: UUIDv7, so that newest first is by id."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    made: UUID = uuid7()
    return made
