"""Wait for a scarce reward: who came first can redeem the pieces that are there again.

While members wait, pieces are kept for the first of them, as many as there are pieces. Others can redeem what
is left beyond that. A turn lasts a day; who lets it pass leaves the list.
"""

from datetime import datetime

from msgspec import Struct

from engage.domain.refusals import Refusal
from engage.domain.rewards import allowance
from engage.domain.rewards.waiting import MOST_WAITING, TURN, is_turn, pieces_left
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import lock_open
from engage.store.rewards import waiting as store
from engage.store.rewards.stock import read_stock


class WaitingPlace(Struct, frozen=True):
    """A position on a waiting list, counted from 1. Until `turn_until` a piece is kept for the member, who
    can redeem it; null while there is none.
    """

    position: int
    turn_until: datetime | None


async def wait_for_reward(
    services: Services, program_id: str, member_id: str, reward_id: str
) -> WaitingPlace:
    """Put a member on the waiting list of a reward; one who waits already keeps the position.

    Raises Refusal unknown_member, not_offered, unknown_reward; Unavailable.
    """
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    program, _ = services.programs.in_force(program_id, at=now, country=member.country)
    reward = allowance.find(program.rewards, reward_id)
    async with transaction(services.db) as conn:
        await lock_open(conn, [member.key])
        await store.join_line(conn, member.key, reward.id, now=now)
        issued = {} if reward.stock is None else await read_stock(conn, program_id, [reward.id])
        left = pieces_left(reward.stock, issued.get((program_id, reward.id), 0))
        place = (await store.read_places(conn, member.key, [reward.id]))[reward.id]
        assert place.position is not None, "the member waits"
        if place.turn_until is None and is_turn(place.position, left):
            pieces = MOST_WAITING if left is None else left
            await store.begin_turns(conn, (program_id, reward.id), pieces=pieces, until=now + TURN)
            place = (await store.read_places(conn, member.key, [reward.id]))[reward.id]
    assert place.position is not None
    return WaitingPlace(place.position, place.turn_until)


async def serve_waiting(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """End the turns that have passed, and begin those for which there are pieces; how many. Raises
    Unavailable.
    """
    async with transaction(services.db) as conn:
        count = await store.end_turns(conn, now=now)
        for program_id, reward_id in await store.read_waited_for(conn):
            offered, stock = _stock(services, program_id, reward_id, now=now)
            if not offered:
                continue
            issued = {} if stock is None else await read_stock(conn, program_id, [reward_id])
            left = pieces_left(stock, issued.get((program_id, reward_id), 0))
            pieces = MOST_WAITING if left is None else min(left, MOST_WAITING)
            if pieces:
                key = (program_id, reward_id)
                count += await store.begin_turns(conn, key, pieces=pieces, until=now + TURN)
    return count


def _stock(services: Services, program_id: str, reward_id: str, *, now: datetime) -> tuple[bool, int | None]:
    """Return whether a reward is offered in some country now, and the largest stock there; None without a
    limit.
    """
    stocks: list[int | None] = []
    versions = services.programs.versions(program_id)
    for country in sorted({country for version in versions for country in version.countries}):
        try:
            program, _ = services.programs.in_force(program_id, at=now, country=country)
            stocks.append(allowance.find(program.rewards, reward_id).stock)
        except Refusal:
            continue
    limited = [stock for stock in stocks if stock is not None]
    return bool(stocks), None if len(limited) < len(stocks) else max(limited, default=None)
