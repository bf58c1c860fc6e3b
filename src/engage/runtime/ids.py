"""Ids that this process makes: UUIDv7, which sort by time."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    id_: UUID = uuid7()
    return id_
