"""Tickets for the feed, for clients that cannot send a header with a websocket."""

from datetime import datetime

from engage.runtime.services import Services


async def issue_ticket(services: Services, program_id: str, member_id: str) -> tuple[str, datetime]:
    """Return (ticket, the wall time at which it expires). Raises Refusal unknown_member; Unavailable."""
    member = await services.members.get(services.db, program_id, member_id)
    return await services.topics.issue_ticket(program_id, member.member_id)
