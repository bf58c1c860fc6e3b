"""Store the levels that follow from what members bought and earned, and end those whose time is over.

What multiplies points is decided by the stored rows as long as no facts have changed since, and by a fold of
the facts otherwise (`engage.runtime.boosts`); the two are the same. Whoever shows a level folds the facts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from engage.domain.keys import MemberKey
from engage.domain.refusals import AccountClosed
from engage.domain.tiers.fold import fold_until
from engage.flows.tiers.offered import offered_groups
from engage.flows.tiers.views import moment
from engage.ledger.accounts import lock_open_balances
from engage.ledger.status import CREDITS_PER_BATCH, activate_batch
from engage.runtime.database import one_statement, transaction
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.store.tiers.levels import MEMBERS_PER_BATCH, StoredTier, read_ended, write_levels
from engage.store.tiers.movements import read_movements


async def store_levels(services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
    """Store the levels of these members, as they follow from the facts. Raises Unavailable."""
    try:
        await _store(services, members, now=now)
    except AccountClosed:
        # One was merged or erased a moment ago.
        await services.members.refresh(services.db)
        await _store(services, members, now=now)


async def _store(services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
    """Raises Unavailable, AccountClosed."""
    found = await services.members.find(services.db, members)
    wanted = {}
    for key in members:
        member = found.get(key)
        if member is None or member.key != key:
            continue  # Erased, or merged into another one, whose change is noted too.
        if any(version.tier_groups for version in services.programs.versions(key[0])):
            # Of a member to whom no groups are offered any more, no levels are stored.
            wanted[key] = offered_groups(services, member, at=now) or ([], "")
    if not wanted:
        return
    async with transaction(services.db) as conn:
        await lock_open_balances(conn, sorted(wanted))
        metrics = {group.metric for groups, _ in wanted.values() for group in groups}
        movements = await read_movements(conn, sorted(wanted), metrics)
        levels = {}
        for key, (groups, zone) in wanted.items():
            rows = []
            for group in groups:
                known = movements[key][group.metric]
                at = moment(known, now=now)
                fold = fold_until(group, known, at=at, zone=zone)
                if not fold.changes and not fold.value and not group.multiplies:
                    continue
                since = fold.changes[-1].at if fold.changes else None
                level = None if fold.level is None else fold.level.id
                terms = None if any(movement.at > at for movement in known) else group.terms(zone)
                tier = StoredTier(group.id, level, since, fold.value, fold.keeps_until, terms)
                rows.append((tier, fold.changes))
            levels[key] = rows
        await write_levels(conn, levels)


async def end_levels(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Store anew the levels that have ended by `now`; of how many members. Raises Unavailable."""
    total = 0
    while True:
        async with one_statement(services.db) as conn:
            members = await read_ended(conn, now=now)
        await store_levels(services, sorted(members), now=now)
        total += len(members)
        if len(members) < MEMBERS_PER_BATCH:
            return total


async def activate_status(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Activate status that is due; how many credits. Raises Unavailable."""
    total = 0
    while True:
        async with one_statement(services.db) as conn:
            done = await activate_batch(conn, now=now, ahead=services.clock.ahead, on_time=on_time)
        total += done
        if done < CREDITS_PER_BATCH:
            return total


TIERS: Final = Reaction("tiers", store_levels)
