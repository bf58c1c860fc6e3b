"""Reports of past instants agree with a tally that was kept by plain additions at the time."""

import copy
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from msgspec import Struct, field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.accounts.liability import BUCKETS, DAYS, Liability
from engage.domain.accounts.lots import Lot, Take
from engage.domain.accounts.movements import Movement
from engage.flows.programs.publish import publish
from engage.flows.reports.reports import report_balance, report_liability
from engage.ledger.accounts import Accounts, open_accounts, post
from engage.ledger.balances import OutboxRow
from engage.ledger.holds import Hold, add_hold
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import services_with_activities
from tests.support.clock import DAY, NOON, StoppedClock, advance
from tests.support.programs import rule

PROGRAM = "tally"
MEMBERS = {"a": "ES", "b": "ES", "c": "FR", "d": "GB", "e": "GB"}
DOCUMENT = """
id = "tally"
version = "one"
title = "Three points are worth a cent"
in_force_from = 2020-01-01
eligibility = { one_account_a_person = false }
expiry = { type = "never" }
worth = { points = 3, minor = 1 }

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }
FR = { zone = "Europe/Paris", currency = "EUR" }
GB = { zone = "Europe/London", currency = "GBP" }
""" + rule("registration", 'activity = "registration"', 'type = "once"', 50)


CURRENCY = {"ES": "EUR", "FR": "EUR", "GB": "GBP"}


class Left(Struct):
    """The points of a lot that can still be spent."""

    member: str
    points: int
    end: datetime | None


class Tally(Struct):
    """The points of all members, kept by plain additions."""

    lots: dict[UUID, Left] = {}
    holds: dict[UUID, tuple[str, list[Take]]] = {}
    pending: dict[UUID, tuple[str, int]] = {}
    debt: Counter[str] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)  # By currency and kind of entry.

    def held(self) -> Counter[UUID]:
        held: Counter[UUID] = Counter()
        for _, takes in self.holds.values():
            held.update({take.credit_id: take.points for take in takes})
        return held

    def balance(self, member: str) -> tuple[int, int, int, int]:
        active = sum(left.points for left in self.lots.values() if left.member == member)
        pending = sum(points for owner, points in self.pending.values() if owner == member)
        held = sum(take.points for owner, takes in self.holds.values() if owner == member for take in takes)
        return active, pending, held, self.debt[member]


class Scenario:
    """Random operations on accounts, each at a different instant, and the tally after each."""

    def __init__(self, services: Services, seed: int) -> None:
        self.services = services
        self.dice = random.Random(seed)
        self.tally = Tally()
        self.then: list[tuple[datetime, Tally]] = []
        self.spent: list[tuple[str, UUID, list[Take]]] = []

    async def run(self, steps: int) -> None:
        step = [self.earn, self.earn, self.wait, self.hold, self.close, self.redeem, self.undo, self.undo]
        for _ in range(steps):
            self.now = advance(self.services, timedelta(hours=self.dice.randint(1, 400)))
            async with self.services.db.begin() as conn:
                await self.dice.choice(step)(conn, self.dice.choice(list(MEMBERS)))
            self.then.append((self.now, copy.deepcopy(self.tally)))

    async def earn(self, conn: AsyncConnection, member: str) -> None:
        points = self.dice.randint(1, 500)
        ends = self.dice.choice([None, self.now + self.dice.randint(1, 600) * DAY])
        id_ = await add_credit(conn, member, points, now=self.now, ends=ends)
        async with self.account(conn, member) as (account, _):
            lot = Lot(id_, points, points, 0, self.now, ends)
            if self.dice.random() < 0.5:
                account.open_lot(lot, self.now, kind="earning", out_of="issued")
            else:
                account.open_lot(lot, self.now, kind="opening", out_of="opening")

    async def wait(self, conn: AsyncConnection, member: str) -> None:
        """Add a pending credit; shrink or reverse earlier ones."""
        id_ = await add_credit(conn, member, 90, now=self.now, ends=None, state="pending")
        for other, (owner, points) in list(self.tally.pending.items()):
            match self.dice.choice(["shrink", "go", "wait"]):
                case "shrink" if points > 20:
                    await conn.execute(SHRINK, {"id": other, "now": self.now, "reference": str(id_)})
                    self.tally.pending[other] = (owner, points - 20)
                case "go":
                    await conn.execute(GO, {"id": other, "now": self.now})
                    del self.tally.pending[other]
        self.tally.pending[id_] = (member, 90)

    async def hold(self, conn: AsyncConnection, member: str) -> None:
        id_ = new_id()
        async with self.account(conn, member) as (account, _):
            if account.active:
                takes = account.hold(self.dice.randint(1, account.active), id_, self.now)
                self.tally.holds[id_] = (member, takes)
                await self.add_hold(conn, member, id_, takes)

    async def add_hold(self, conn: AsyncConnection, member: str, id_: UUID, takes: list[Take]) -> None:
        """Store the hold."""
        points = sum(take.points for take in takes)
        hold = Hold(
            program_id=PROGRAM,
            member_id=member,
            id=id_,
            purpose="checkout",
            state="open",
            points=points,
            created_at=self.now,
        )
        await add_hold(conn, hold)

    async def close(self, conn: AsyncConnection, _: str) -> None:
        if not self.tally.holds:
            return
        id_ = self.dice.choice(list(self.tally.holds))
        member, takes = self.tally.holds.pop(id_)
        async with self.account(conn, member, hold_ids=[id_]) as (account, accounts):
            assert accounts.takes[id_] == takes
            match self.dice.choice(["redeemed", "withdrawn", "released"]):
                case "redeemed":
                    account.capture(takes, id_, self.now)
                    self.spent.append((member, id_, takes))
                case "withdrawn":
                    account.capture(takes, id_, self.now, into="withdrawn")
                case _:
                    account.release(takes, id_, self.now)

    async def redeem(self, conn: AsyncConnection, member: str) -> None:
        id_ = new_id()
        async with self.account(conn, member) as (account, _):
            if account.active > 1:
                takes = account.redeem(self.dice.randint(1, account.active - 1), id_, self.now)
                self.spent.append((member, id_, takes))
                await self.add_hold(conn, member, id_, takes)
                account.deduct(1, self.now, kind="adjustment", into="adjusted", reference="r")

    async def undo(self, conn: AsyncConnection, member: str) -> None:
        """Reinstate spent points, some to lots that have ended, or claw earned points back."""
        if self.spent and self.dice.random() < 0.5:
            member, id_, takes = self.spent.pop(self.dice.randrange(len(self.spent)))
            async with self.account(conn, member, hold_ids=[id_]) as (account, _):
                account.reinstate(takes, id_, self.now, grace_until=self.now + 30 * DAY)
            return
        mine = [id_ for id_, left in self.tally.lots.items() if left.member == member]
        if mine:
            id_ = self.dice.choice(mine)
            async with self.account(conn, member, credit_ids=[id_]) as (account, _):
                account.claw_back(id_, self.dice.randint(1, 300), self.now, taken_back=0, corrects=1)

    @asynccontextmanager
    async def account(
        self, conn: AsyncConnection, member: str, **more: list[UUID]
    ) -> AsyncIterator[tuple[Account, Accounts]]:
        """Open an account, post it at the end and update the tally."""
        accounts = await open_accounts(conn, [(PROGRAM, member)], now=self.now, **more)
        account = accounts.by_key[PROGRAM, member]
        yield account, accounts
        await post(conn, accounts, OutboxRow(new_id(), "test", self.now))
        for id_, lot in account.lots.items():
            self.tally.lots[id_] = Left(member, lot.remaining, lot.expires_at)
        self.tally.debt[member] = account.debt
        for movement in account.movements:
            key = CURRENCY[MEMBERS[member]], import_name(movement)
            self.tally.moved[key] += movement.active + movement.held


SHRINK = text("""
WITH less AS (UPDATE credits SET points = points - 20 WHERE id = :id RETURNING program_id, member_id, id)
INSERT INTO reductions SELECT program_id, member_id, id, :now, 20, :reference FROM less
""")
GO = text("UPDATE credits SET state = 'reversed', reversed_at = :now WHERE id = :id")
ADD = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, active_at, expires_at, why)
VALUES ('tally', :member, :id, :key, 'registration', 'one', :points, :state, :now, :now,
        CASE WHEN :state = 'active' THEN CAST(:now AS timestamptz) END, :ends, '{}')
""")


async def add_credit(
    conn: AsyncConnection,
    member: str,
    points: int,
    *,
    now: datetime,
    ends: datetime | None,
    state: str = "active",
) -> UUID:
    id_ = new_id()
    values = {"id": id_, "key": str(id_), "member": member, "points": points, "now": now, "ends": ends}
    await conn.execute(ADD, values | {"state": state})
    return id_


def import_name(movement: Movement) -> str:
    if movement.house_account == "withdrawn":
        return "withdrawn"
    return {
        "earning": "issued",
        "reinstatement": "reinstated",
        "capture": "spent",
        "redemption": "spent",
        "expiration": "expired",
        "clawback": "taken_back",
        "recovery": "recovered",
        "adjustment": "adjusted",
    }.get(movement.kind, movement.kind)


JOIN = text("""
WITH joined AS (
    INSERT INTO members (program_id, member_id, country, kind, joined_at)
    VALUES ('tally', :member, :country, 'person', :now) RETURNING program_id, member_id
)
INSERT INTO balances (program_id, member_id) SELECT program_id, member_id FROM joined
""")


@pytest.fixture(scope="module")
async def scenario(module_database: Settings) -> AsyncIterator[Scenario]:
    async with services_with_activities(module_database, StoppedClock(NOON - 900 * DAY)) as services:
        await publish(services.db, DOCUMENT, source="tally", operator="test", clock=services.clock)
        async with services.db.begin() as conn:
            for member, country in MEMBERS.items():
                await conn.execute(JOIN, {"member": member, "country": country, "now": services.clock.now()})
        lived = Scenario(services, seed=7)
        await lived.run(250)
        yield lived


async def read(scenario: Scenario, at: datetime, since: datetime | None = None) -> dict[str, Liability]:
    """Read a report; return its figures by currency."""
    report = await report_liability(
        scenario.services.settings,
        at=at.isoformat(),
        since=None if since is None else since.isoformat(),
        program_id=PROGRAM,
        clock=scenario.services.clock,
    )
    return {item.currency: item for item in report.items}


def bucket_of(end: datetime | None, at: datetime) -> str:
    if end is None:
        return "never"
    whole_days = next((place for place, days in enumerate(DAYS) if end <= at + days * DAY), len(DAYS))
    return BUCKETS[whole_days]


def expected(tally: Tally, at: datetime, currency: str) -> dict[str, int]:
    """Return outstanding points by bucket."""
    points: Counter[str] = Counter()
    held = tally.held()
    for id_, left in tally.lots.items():
        if CURRENCY[MEMBERS[left.member]] == currency:
            points[bucket_of(left.end, at)] += left.points + held[id_]
    return {name: points[name] for name in BUCKETS}


async def test_a_report_of_a_past_instant_is_the_tally_of_then(scenario: Scenario) -> None:
    seen: Counter[str] = Counter()
    for at, tally in scenario.then[::3]:
        found = await read(scenario, at)
        for currency, item in found.items():
            points = expected(tally, at, currency)
            seen.update({name for name, some in points.items() if some})
            assert {bucket.bucket: bucket.points for bucket in item.expiring} == points
            assert (item.outstanding, item.reconciled) == (sum(points.values()), True)
            mine = [tally.balance(m) for m, country in MEMBERS.items() if CURRENCY[country] == currency]
            assert (item.active, item.pending, item.held, item.debt) == tuple(
                map(sum, zip(*mine, strict=True))
            )
            kinds = {kind: points for (of, kind), points in tally.moved.items() if of == currency and points}
            assert {line.kind: line.points for line in item.movements if line.points} == {
                kind: points for kind, points in kinds.items() if kind not in ("hold", "release")
            }
    assert seen.keys() == set(BUCKETS), "every bucket has had something in it"


async def test_a_past_balance_is_the_tally_of_then(scenario: Scenario) -> None:
    for at, tally in scenario.then[::25]:
        for member in MEMBERS:
            (found,) = await report_balance(
                scenario.services.settings, member, at=at.isoformat(), clock=scenario.services.clock
            )
            had = found.balance
            assert (had.active, had.pending, had.held, had.debt) == tally.balance(member)


async def test_between_two_movements_the_report_is_that_of_the_first(scenario: Scenario) -> None:
    (_, before), (at, _) = scenario.then[100:102]
    found = await read(scenario, at - timedelta(microseconds=1))
    for currency, item in found.items():
        assert item.outstanding == sum(expected(before, at, currency).values())


async def test_a_period_leads_from_one_report_to_the_next(scenario: Scenario) -> None:
    instants = [at for at, _ in scenario.then[::40]]
    for since, until in pairwise(instants):
        # The movement at `since` belongs to the period.
        earlier = await read(scenario, since - timedelta(microseconds=1))
        later = await read(scenario, until, since)
        for currency, item in later.items():
            assert item.reconciled
            before = earlier.get(currency)
            assert item.before == (0 if before is None else before.outstanding)
            assert item.debt_before == (0 if before is None else before.debt)
            assert item.before + sum(line.points for line in item.movements) == item.outstanding
            assert item.debt_before + sum(line.debt for line in item.movements) == item.debt


async def test_worths_add_up(scenario: Scenario) -> None:
    at, _ = scenario.then[-1]
    for currency, item in (await read(scenario, at, scenario.then[120][0])).items():
        assert item.worth is not None
        assert item.worth.currency == currency
        # Three points are worth a cent.
        assert abs(item.worth.amount - item.outstanding / 3) <= 0.5
        worths = [bucket.worth.amount for bucket in item.expiring if bucket.worth is not None]
        assert len(worths) == len(BUCKETS)
        assert sum(worths) == item.worth.amount
        assert item.worth_before is not None
        moved = [line.worth.amount for line in item.movements if line.worth is not None]
        assert item.worth_before.amount + sum(moved) == item.worth.amount


async def test_a_report_says_when_the_books_do_not_reconcile(scenario: Scenario) -> None:
    at, _ = scenario.then[-1]
    assert all(item.reconciled for item in (await read(scenario, at)).values())
    wrong = "UPDATE lot_moves SET active_delta = active_delta + :by WHERE (member_id, entry_seq) = ("
    wrong += "SELECT member_id, min(entry_seq) FROM lot_moves WHERE member_id = 'a' GROUP BY 1)"
    async with scenario.services.db.begin() as conn:
        await conn.execute(text(wrong), {"by": 1})
    found = await read(scenario, at)
    async with scenario.services.db.begin() as conn:
        await conn.execute(text(wrong), {"by": -1})
    assert {currency: item.reconciled for currency, item in found.items()} == {"EUR": False, "GBP": True}
