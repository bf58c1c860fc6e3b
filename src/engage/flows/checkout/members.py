"""Find the members of orders.

A member id is unique within a program only. If a request names no program and several know the id, the one
that uses the order's currency counts.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from engage.domain.keys import MemberKey
from engage.domain.refusals import Code, Refusal
from engage.runtime.services import Services
from engage.store.members.members import Member


class _Request(Protocol):
    @property
    def member_id(self) -> str: ...
    @property
    def program(self) -> str | None: ...
    @property
    def currency(self) -> str: ...


async def find_members(
    services: Services,
    requests: Sequence[_Request],
    *,
    within: Collection[str] | None = None,
    now: datetime,
) -> list[Member | Refusal]:
    """Return the member of each request, in order, or Refusal unknown_program, unknown_member or
    invalid_request (ambiguous). Members of programs that are not `within` are unknown. Raises Unavailable.
    """
    programs = [known for known in services.programs.ids() if within is None or known in within]
    keys = [
        (program, request.member_id)
        for request in requests
        for program in (programs if request.program is None else [request.program])
    ]
    members = await services.members.find(services.db, keys)
    return [_member(services, programs, members, request, now=now) for request in requests]


def _member(
    services: Services,
    programs: Sequence[str],
    members: dict[MemberKey, Member],
    request: _Request,
    *,
    now: datetime,
) -> Member | Refusal:
    if request.program is not None and request.program not in programs:
        return Refusal(Code.UNKNOWN_PROGRAM, program=request.program)
    candidates = programs if request.program is None else [request.program]
    found = [
        member for program in candidates if (member := members.get((program, request.member_id))) is not None
    ]
    if len(found) > 1:
        found = [m for m in found if _currency(services, m, now) == request.currency] or found
    if len(found) > 1:
        several = ", ".join(member.program_id for member in found)
        message = f"name the program: {several} know this member id"
        return Refusal(Code.INVALID_REQUEST, errors=[{"field": "program", "message": message}])
    return found[0] if found else Refusal(Code.UNKNOWN_MEMBER)


def _currency(services: Services, member: Member, now: datetime) -> str | None:
    """The currency of the member's country, or None while the program offers nothing there."""
    try:
        _, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    except Refusal:
        return None
    return market.currency
