"""Ids that this process makes: UUIDv7, which sort by time."""

from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as FastUUID
from uuid_utils import uuid7


def new_id() -> UUID:
    """Make an id in the class of the database's driver: a `uuid.UUID` that is made, hashed and sent by C."""
    id_: UUID = FastUUID(uuid7().bytes)
    return id_
