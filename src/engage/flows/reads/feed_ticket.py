"""Tickets for the feed, for clients that cannot send a header with a websocket."""

from datetime import datetime

from msgspec.structs import replace

from engage.domain.identity import Identity
from engage.runtime.services import Services


async def issue_ticket(services: Services, identity: Identity) -> tuple[str, datetime]:
    """Return (ticket, the wall time at which it expires). What is opened with it ends with the token of
    `identity`. Raises Refusal unknown_member; Unavailable.
    """
    member = await services.members.get(services.db, identity.program_id, identity.member_id)
    return await services.topics.issue_ticket(replace(identity, member_id=member.member_id))
