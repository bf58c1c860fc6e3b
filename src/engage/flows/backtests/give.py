"""Give members what a past window would have paid, where an operator has asked for it.

Some hundred at a time. The gain of a member is locked with the posting that gives it, so each is given once,
whatever dies. What a campaign's budget does not cover any more is not given.
"""

from collections.abc import Sequence
from typing import Any, Final

from engage.domain.accounts.account import Account
from engage.domain.accounts.balance import MOST_BALANCE
from engage.domain.accounts.lots import Lot
from engage.domain.backtests.sums import Gain
from engage.domain.campaigns.budget import Wanted
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import ADJUSTMENT_RULE, adjustment_reference
from engage.domain.program.program import Program
from engage.ledger.accounts import open_accounts
from engage.ledger.adjustments import (
    AdjustingCredit,
    Adjustment,
    add_adjusting_credits,
    add_adjustments,
)
from engage.runtime.budgets import give_back, take
from engage.runtime.database import transaction
from engage.runtime.ids import new_id
from engage.runtime.member_cache import with_current_members
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.backtests import gains, jobs
from engage.store.backtests.jobs import Backtest, BacktestKey
from engage.store.members.members import Member

MEMBERS_PER_BATCH: Final = 200


async def give_some(services: Services) -> bool:
    """Give the gains of a batch of members, or note that all have theirs; False where there is nothing to do
    that nobody else does. Raises Unavailable.
    """
    async with transaction(services.db) as conn:
        finished = await jobs.lock_granted(conn)
        if finished is not None:
            await jobs.write(conn, finished, granted_all=True)
            return True
    return await with_current_members(services.members, services.db, lambda: _give_batch(services))


async def _give_batch(services: Services) -> bool:
    """Raises AccountClosed where a member was just merged or erased."""
    async with open_posting(services, cause=ADJUSTMENT_RULE) as posting:
        locked = await gains.lock_open(posting.conn, limit=MEMBERS_PER_BATCH)
        if locked is None:
            return False
        key, batch = locked
        giving = Giving(services, await jobs.read(posting.conn, key))
        await _give(posting, giving, await _recipients(services, key, batch))
        granted = {gain.member_id: giving.points.get(gain.member_id, 0) for gain in batch}
        await gains.write_granted(posting.conn, key, granted)
    return True


async def _recipients(
    services: Services, key: BacktestKey, batch: Sequence[Gain]
) -> list[tuple[Gain, Member]]:
    """The members who get gains: those of merged members their survivors, those of erased ones nobody."""
    keys = [(key[0], gain.member_id) for gain in batch]
    members = await services.members.find(services.db, keys)
    found = ((gain, members.get((key[0], gain.member_id))) for gain in batch)
    return [(gain, member) for gain, member in found if member is not None]


async def _give(posting: Posting, giving: "Giving", recipients: Sequence[tuple[Gain, Member]]) -> None:
    """Give as much as the budget leaves, and give back to it what a full account could not take."""
    conn, now, campaign = posting.conn, giving.now, giving.campaign
    wanted = [Wanted(campaign, member.key, gain.points) for gain, member in recipients]
    taken = await take(conn, wanted, now=now)
    accounts = await open_accounts(conn, sorted({member.key for _, member in recipients}), now=now)
    refused = []
    for (gain, member), points in zip(recipients, taken, strict=True):
        if points and not giving.give(accounts.by_key[member.key], gain.member_id, member, points):
            refused.append(((campaign.program, campaign.id), points))
    if campaign.budget is not None:
        await give_back(conn, refused, now=now)
    await add_adjusting_credits(conn, giving.credits)
    await add_adjustments(conn, giving.adjustments)
    await posting.post(accounts)


class Giving:
    """Credits and adjustments for a batch of members, and the points by the member who gained them."""

    def __init__(self, services: Services, backtest: Backtest) -> None:
        self.now = services.clock.now()
        self.campaign = backtest.campaign
        self.credits: list[AdjustingCredit] = []
        self.adjustments: list[Adjustment] = []
        self.points: dict[str, int] = {}
        self._programs = services.programs
        self._backtest = backtest
        begin, until = backtest.from_at, backtest.until_at
        self._reason = f"Campaign {self.campaign.id}, {begin:%Y-%m-%d} to {until:%Y-%m-%d}"

    def give(self, account: Account, gained_by: str, member: Member, points: int) -> bool:
        """Give points to a member whose account is open; False, and nothing, where they have no room."""
        if account.active + account.pending + account.held + points > MOST_BALANCE:
            return False
        program = self._programs.latest(member.program_id, at=self.now, country=member.country)
        credit = self._credit(f"backtest:{self._backtest.id}:{gained_by}", member, points, program)
        lot = Lot(credit.id, points, points, 0, self.now, credit.expires_at)
        position = len(account.movements) + 1
        account.open_lot(
            lot,
            self.now,
            kind="adjustment",
            out_of="adjusted",
            reference=adjustment_reference(credit.reference),
        )
        self.credits.append(credit)
        self.adjustments.append(
            Adjustment(
                program_id=member.program_id,
                member_id=member.member_id,
                reference=credit.reference,
                points=points,
                reason=self._reason,
                operator=self._backtest.granted_by or "",
                at=self.now,
                entry_seq=account.opened.seq + position,
            )
        )
        self.points[gained_by] = points
        return True

    def _credit(self, reference: str, member: Member, points: int, program: Program) -> AdjustingCredit:
        market = program.countries.get(member.country) or next(iter(program.countries.values()))
        why: dict[str, Any] = {
            "program": program.id,
            "version": program.version,
            "rule": ADJUSTMENT_RULE,
            "at": self.now,
            "zone": market.zone,
            "inputs": {"points": points, "backtest": str(self._backtest.id)},
            "trace": [step(TraceCode.ADJUSTED, reason=self._reason)],
        }
        return AdjustingCredit(
            program_id=member.program_id,
            member_id=member.member_id,
            id=new_id(),
            points=points,
            reference=reference,
            version=program.version,
            why=why,
            at=self.now,
            expires_at=program.expiry.expires_at(self.now, market.zone),
            campaign=self.campaign.id,
        )
