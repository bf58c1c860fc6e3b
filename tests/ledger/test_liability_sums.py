"""Remainders of lots without what moved since are the sums of their movements from the beginning."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.liability import DAYS, LotSum, OutstandingSum
from engage.domain.accounts.period import Period
from engage.flows.members.merge import merge_members
from engage.flows.programs.publish import publish
from engage.ledger.reports import read_sums
from engage.runtime.database import snapshot
from engage.settings import Settings
from tests.ledger.test_liability import DOCUMENT, JOIN, MEMBERS, PROGRAM, Scenario
from tests.support.activities import services_with_activities
from tests.support.clock import DAY, NOON, StoppedClock, advance
from tests.support.database import rows

# The plain way: each lot's movements until the instant, and the newest end that it was given until then.
SUMMED_UP = text("""
WITH left_of AS (
    SELECT program_id, member_id, credit_id, sum(active_delta) AS active, sum(held_delta) AS held
    FROM lot_movements
    WHERE at <= :at AND (CAST(:program_id AS text) IS NULL OR program_id = :program_id)
    GROUP BY 1, 2, 3 HAVING sum(active_delta) <> 0 OR sum(held_delta) <> 0
), given_ends AS (
    SELECT DISTINCT ON (program_id, credit_id) program_id, credit_id, expires_at
    FROM lot_moves WHERE expires_at IS NOT NULL AND at <= :at
    ORDER BY program_id, credit_id, at DESC, entry_seq DESC
)
SELECT l.program_id, m.country,
       CASE WHEN coalesce(g.expires_at, c.expires_at) IS NULL
            THEN cardinality(CAST(:edges AS timestamptz[])) + 1
            ELSE width_bucket(coalesce(g.expires_at, c.expires_at) - interval '1 microsecond',
                              CAST(:edges AS timestamptz[])) END AS bucket,
       CAST(sum(l.active) AS bigint), CAST(sum(l.held) AS bigint)
FROM left_of l
JOIN members m USING (program_id, member_id)
JOIN credits c ON c.program_id = l.program_id AND c.member_id = l.member_id AND c.id = l.credit_id
LEFT JOIN given_ends g ON g.program_id = l.program_id AND g.credit_id = l.credit_id
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")
CLOSE_HOLDS = text("UPDATE holds SET state = 'captured', closed_at = :now WHERE member_id = :member")
# Balances of these histories have nothing pending.
NOTHING_PENDING = text("""
UPDATE credits SET state = 'reversed', reversed_at = :now WHERE member_id = :member AND state = 'pending'
""")
LOTS = text("SELECT credit_id FROM lots WHERE member_id = :member")
# Each after so many steps, into a member of the same currency.
MERGERS = {90: ("b", "c"), 150: ("e", "d"), 200: ("c", "a")}
STEPS = 260
MICROSECOND = timedelta(microseconds=1)


class Mergers(Scenario):
    """Random operations on accounts, some of which are merged meanwhile."""

    async def live(self) -> None:
        members = list(MEMBERS)
        step = [self.earn, self.earn, self.wait, self.hold, self.close, self.redeem, self.undo, self.undo]
        for number in range(STEPS):
            self.now = advance(self.services, timedelta(hours=self.dice.randint(1, 400)))
            if number in MERGERS:
                member, into = MERGERS[number]
                members.remove(member)
                await self.merge(member, into)
            else:
                async with self.services.db.begin() as conn:
                    await self.dice.choice(step)(conn, self.dice.choice(members))
            self.then.append((self.now, self.tally))

    async def merge(self, member: str, into: str) -> None:
        while any(owner == member for owner, _ in self.tally.holds.values()):
            async with self.services.db.begin() as conn:
                await self.close(conn, member)
        async with self.services.db.begin() as conn:
            await conn.execute(CLOSE_HOLDS, {"member": member, "now": self.now})
            await conn.execute(NOTHING_PENDING, {"member": member, "now": self.now})
        await merge_members(self.services, PROGRAM, member, into=into, reason="one person", operator="test")
        async with self.services.db.begin() as conn:
            moved = set((await conn.execute(LOTS, {"member": into})).scalars())
        for id_, left in list(self.tally.lots.items()):
            if left.member == member and id_ in moved:
                left.member = into
            elif left.member == member:
                del self.tally.lots[id_]
        self.tally.pending = {id_: of for id_, of in self.tally.pending.items() if of[0] != member}
        self.spent = [(into if owner == member else owner, id_, takes) for owner, id_, takes in self.spent]


@pytest.fixture(scope="module")
async def scenario(module_database: Settings) -> AsyncIterator[Mergers]:
    async with services_with_activities(module_database, StoppedClock(NOON - 3000 * DAY)) as services:
        await publish(services.db, DOCUMENT, source="tally", operator="test", clock=services.clock)
        async with services.db.begin() as conn:
            for member, country in MEMBERS.items():
                await conn.execute(JOIN, {"member": member, "country": country, "now": services.clock.now()})
        await services.programs.refresh(services.db)
        lived = Mergers(services, seed=11)
        await lived.live()
        yield lived


async def summed_up(conn: AsyncConnection, at: datetime, program_id: str | None) -> list[LotSum]:
    edges = [at + timedelta(days=days) for days in DAYS]
    found = await conn.execute(SUMMED_UP, {"at": at, "edges": edges, "program_id": program_id})
    return [LotSum(*row) for row in found]


def outstanding(lots: list[LotSum]) -> list[OutstandingSum]:
    points: Counter[tuple[str, str]] = Counter()
    for row in lots:
        points[row.program_id, row.country] += row.active + row.held
    return [OutstandingSum(*key, some) for key, some in sorted(points.items())]


async def test_both_ways_give_the_same_sums_at_every_instant(scenario: Mergers) -> None:
    dice = random.Random(3)
    instants = [at for at, _ in scenario.then]
    seen: Counter[int] = Counter()
    async with snapshot(scenario.services.db) as conn:
        for number, at in enumerate(instants[::2]):
            instant = at - MICROSECOND if number % 4 == 0 else at
            since = dice.choice([None, *(before for before in instants if before <= instant)])
            program_id = dice.choice([None, PROGRAM])
            sums = await read_sums(conn, Period(since, instant), program_id)
            plain = await summed_up(conn, instant, program_id)
            assert sums.lots == plain
            seen.update(row.bucket for row in plain)
            if since is not None:
                before = await summed_up(conn, since - MICROSECOND, program_id)
                assert sums.outstanding_before == outstanding(before)
            assert sum(row.points for row in sums.moved) == sum(row.active + row.held for row in plain)
    assert seen.keys() == set(range(len(DAYS) + 2)), "every bucket has had something in it"


async def test_the_history_has_what_makes_the_ways_differ(scenario: Mergers) -> None:
    found = await rows(
        scenario.services.db,
        """
        SELECT (SELECT count(*) FROM lot_moves WHERE expires_at IS NOT NULL),
               (SELECT count(*) FROM lot_moves m JOIN members o USING (program_id, member_id)
                WHERE m.expires_at IS NOT NULL AND o.merged_into IS NOT NULL),
               (SELECT count(*) FROM lot_moves WHERE held_delta < 0),
               (SELECT count(*) FROM entries WHERE kind = 'expiration' AND credit_id IS NOT NULL),
               (SELECT count(*) FROM entries WHERE kind = 'transfer')
        """,
    )
    assert all(found[0]), found
