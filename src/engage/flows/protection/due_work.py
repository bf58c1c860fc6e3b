"""The due work of protection: decisions that are not done yet, and what is not needed any more."""

from datetime import datetime

from engage.flows.protection.apply import apply_due
from engage.runtime.database import one_statement
from engage.runtime.due_work import DueWork
from engage.runtime.services import Services
from engage.store.protection.decisions import delete_old, next_decided, next_delete
from engage.store.protection.places import delete_ended, next_end


async def delete_ended_places(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Delete places of windows that are over; how many. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        return await delete_ended(conn, now=now, ahead=services.clock.ahead)


async def delete_old_suspicions(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Delete suspicions that are too old to be looked at; how many. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        return await delete_old(conn, now=now, ahead=services.clock.ahead)


DUE_WORK = (
    DueWork(name="reviews", next_at=next_decided, do=apply_due, any_order=True),
    DueWork(name="velocity_places", next_at=next_end, do=delete_ended_places, any_order=True),
    DueWork(name="suspicions", next_at=next_delete, do=delete_old_suspicions, any_order=True),
)
