"""A shop with members and orders, for pages of the console about them."""

from itertools import count
from typing import Any

from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.programs.publish import publish
from engage.runtime.services import Services
from tests.support.orders import DOCUMENT, PROGRAM

_numbers = count(1)


async def open_shop(services: Services, document: str = DOCUMENT) -> None:
    """Publish the shop's program."""
    await publish(services.db, document, source="test", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)


async def new_member(
    services: Services,
    *,
    points: int = 0,
    phone: str | None = None,
    cards: list[str] | None = None,
    program: str = PROGRAM,
    **details: Any,
) -> str:
    """Register a member with active points, and return the id."""
    member_id = f"ann-{next(_numbers)}"
    registration = MemberRegistration(
        member_id=member_id,
        program=program,
        country="ES",
        phone=phone,
        card_numbers=cards or [],
        **details,
    )
    await register_member(services, registration)
    if points:
        request = AdjustmentRequest(points=points, reason="a welcome", reference="welcome")
        await adjust(services, program, member_id, request, operator="test")
    return member_id
