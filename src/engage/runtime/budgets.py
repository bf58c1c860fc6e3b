"""Take from the budgets of campaigns what they want to grant, in the transaction that grants it.

Comes before credits and balances are locked. Whoever holds slices of budgets waits for none, so transactions
never wait for each other in a circle: only after a savepoint was rolled back, with no slice in hand, all
slices are locked in their order.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import count

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import commits_each
from engage.domain.campaigns.budget import SLICES, Left, Used, Wanted, within, within_own_limits
from engage.domain.campaigns.definition import Campaign
from engage.domain.keys import MemberKey
from engage.store.campaigns import budgets as store
from engage.store.campaigns.budgets import Taking, has_limits
from engage.store.campaigns.versions import CampaignKey

_turns = count()


class NeedsTransaction(Exception):
    """A budget is asked on a connection that commits each statement: again, in a transaction."""


async def take(conn: AsyncConnection, wanted: Sequence[Wanted], *, now: datetime) -> list[int]:
    """Take the points of credits that campaigns want to grant; what each may grant of them, in order.

    Without budgets there is nothing to ask. Raises NeedsTransaction on a connection that commits each
    statement.
    """
    if all(credit.campaign.budget is None for credit in wanted):
        return [credit.points for credit in wanted]
    if commits_each(conn):
        raise NeedsTransaction
    granted = await _within_own_limits(conn, wanted)
    takings = _takings(wanted, granted)
    if not takings:
        return granted
    if not await _take_at_once(conn, takings):
        granted = await _take_exactly(conn, wanted, granted, [taking.key for taking in takings])
    alerts = {credit.key: credit.campaign.budget.alerts for credit in wanted if credit.campaign.budget}
    await store.add_alerts(conn, {taking.key: alerts[taking.key] for taking in takings}, now=now)
    return granted


def _takings(wanted: Sequence[Wanted], granted: Sequence[int]) -> list[Taking]:
    """All that is wanted of each budget that is kept in slices."""
    points: dict[CampaignKey, list[int]] = {}
    for credit, each in zip(wanted, granted, strict=True):
        if has_limits(credit.campaign.budget) and each and not credit.reserved:
            points.setdefault(credit.key, []).append(each)
    return [Taking(*key, sum(own), len(own)) for key, own in points.items()]


async def take_all(
    conn: AsyncConnection, campaign: Campaign, *, points: int, count: int, now: datetime
) -> bool:
    """Take so many points for so many credits of whatever members, or nothing."""
    if not has_limits(campaign.budget):
        return True
    taking = Taking(campaign.program, campaign.id, points, count)
    if not await _take_at_once(conn, [taking]):
        left = (await store.lock_left(conn, [taking.key])).get(taking.key, Left(0, 0))
        if (left.points is not None and left.points < points) or (
            left.count is not None and left.count < count
        ):
            return False
        rest = Left(
            None if left.points is None else left.points - points,
            None if left.count is None else left.count - count,
        )
        await store.write_left(conn, {taking.key: rest})
    if campaign.budget is not None:
        await store.add_alerts(conn, {taking.key: campaign.budget.alerts}, now=now)
    return True


async def give_back(
    conn: AsyncConnection, refused: Iterable[tuple[CampaignKey, int]], *, now: datetime
) -> None:
    """Give back what was taken for credits that were not accepted: (campaign, points) of each."""
    sums: dict[CampaignKey, list[int]] = {}
    for key, points in refused:
        sums.setdefault(key, []).append(points)
    if sums:
        returned = [Taking(*key, sum(points), len(points)) for key, points in sums.items()]
        await store.give_back(conn, returned, now=now)


async def _take_at_once(conn: AsyncConnection, takings: Sequence[Taking]) -> bool:
    """Take everything from one slice of each budget, or nothing."""
    savepoint = await conn.begin_nested()
    taken = await store.take_from_one_slice(conn, takings, first=next(_turns) % SLICES)
    if len(taken) == len(takings):
        await savepoint.commit()
        return True
    await savepoint.rollback()
    return False


async def _take_exactly(
    conn: AsyncConnection, wanted: Sequence[Wanted], points: Sequence[int], keys: Sequence[CampaignKey]
) -> list[int]:
    """Take as much as there is of each budget; the points of each credit."""
    # A budget that is used up is not locked, or all who want of it would wait for each other.
    seen = await store.read_left(conn, keys)
    open_ = [key for key in keys if key not in seen or (seen[key].points != 0 and seen[key].count != 0)]
    locked = await store.lock_left(conn, open_) if open_ else {}
    granted = within(wanted, points, {key: Left(0, 0) for key in keys} | locked)
    for credit, each in zip(wanted, granted, strict=True):
        if credit.key in locked and not credit.reserved:
            locked[credit.key].take(each)
    if locked:
        await store.write_left(conn, locked)
    return granted


class _Own(Struct):
    """The use of members' and devices' own limits."""

    used: dict[tuple[str, MemberKey], Used]
    device_counts: dict[tuple[str, str], int]


async def _within_own_limits(conn: AsyncConnection, wanted: Sequence[Wanted]) -> list[int]:
    """The points that limits of members and devices allow; they are locked until the transaction ends."""
    own = [
        credit
        for credit in wanted
        if (budget := credit.campaign.budget) is not None
        and (budget.points_per_member is not None or budget.per_device is not None)
    ]
    if not own:
        return [credit.points for credit in wanted]
    found = await _read_own(conn, own)
    return within_own_limits(wanted, found.used, found.device_counts)


async def _read_own(conn: AsyncConnection, own: Sequence[Wanted]) -> _Own:
    by_member = {(credit.member, credit.campaign.id) for credit in own}
    with_devices = {
        (credit.member, credit.campaign.id)
        for credit in own
        if credit.campaign.budget is not None and credit.campaign.budget.per_device is not None
    }
    devices = await store.read_devices(conn, with_devices) if with_devices else {}
    names = {member: devices.get(member) or [_name_of(member)] for member, _ in with_devices}
    locks = {_lock(campaign, _name_of(member)) for member, campaign in by_member}
    locks |= {_lock(campaign, device) for member, campaign in with_devices for device in names[member]}
    await store.lock_members(conn, locks)
    points = await store.read_member_points(conn, by_member)
    counts: dict[tuple[str, str], int] = {}
    if with_devices:
        counts = await store.read_device_counts(conn, with_devices)
        # A member who is known to have no device counts as one.
        for (campaign, member), number in (await store.read_member_counts(conn, with_devices)).items():
            counts[campaign, _name_of(member)] = number
    used = {
        (campaign, member): Used(points.get((campaign, member), 0), names.get(member, ()))
        for member, campaign in by_member
    }
    return _Own(used, counts)


def _name_of(member: MemberKey) -> str:
    return "\0".join(member)


def _lock(campaign: str, name: str) -> int:
    """The key of an advisory lock."""
    return int.from_bytes(blake2b(f"{campaign}\0{name}".encode(), digest_size=8).digest(), signed=True)
