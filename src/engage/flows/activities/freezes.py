"""A member buys a freeze: the points leave, and the streak has one more freeze, in one transaction."""

from datetime import datetime

from msgspec import Struct

from engage.domain.earning.freeze_purchase import check_points, price, with_one_more
from engage.domain.earning.limits import DailyStreak
from engage.domain.earning.streak import freezes_at
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import AccountClosed, Code, Refusal, Unavailable
from engage.flows.activities.streaks import introduced, introduction
from engage.ledger.accounts import open_accounts
from engage.ledger.holds import Hold, add_hold
from engage.ledger.streaks import StreakInLedger, StreakKey, add_freezes, read_streaks
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member

# Purchases in a row that another event of the same streak overtakes.
ATTEMPTS = 40


class BoughtFreeze(Struct, frozen=True):
    """`freezes` are those that the member has now; `points` is what the new one cost."""

    freezes: int
    points: int


class _Overtaken(Exception):
    """The streak has had another event meanwhile."""


async def buy_freeze(
    services: Services, program_id: str, member_id: str, *, keyed: Keyed[BoughtFreeze] | None = None
) -> BoughtFreeze:
    """Buy a freeze for the streak of the home screen.

    Raises Refusal unknown_member, not_offered, freezes_full, insufficient_points, request_in_flight;
    Unavailable, also if new events of the streak keep arriving.
    """
    for _ in range(ATTEMPTS):
        try:
            return await _buy(services, program_id, member_id, keyed)
        except AccountClosed:
            await services.members.refresh(services.db)
        except _Overtaken:
            continue
    raise Unavailable("postgres")


async def _buy(
    services: Services, program_id: str, member_id: str, keyed: Keyed[BoughtFreeze] | None
) -> BoughtFreeze:
    """Raises _Overtaken, AccountClosed, and the refusals of `buy_freeze`."""
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    program, market = services.programs.in_force(program_id, at=now, country=member.country)
    rule = program.earning.rules.streak
    terms = None if rule is None or not isinstance(rule.limit, DailyStreak) else rule.limit
    price(terms)
    assert rule is not None
    assert terms is not None
    async with open_posting(services, cause="redeemed") as posting:
        await claim(posting.conn, keyed)
        key = StreakKey(*member.key, rule.id)
        found = (await read_streaks(posting.conn, [key])).get(key)
        if found is not None:
            versions = services.programs.versions(program_id)
            found = introduced(found, introduction(versions, rule.id, country=member.country))
        after = with_one_more(None if found is None else found.streak, now, market.zone, terms)
        event = StreakInLedger(after, 1 if found is None else found.seq + 1)
        bought = await _post(posting, member, key, event, program, market, terms, now=now)
        await keep(posting.conn, keyed, bought)
    await services.gate.forget([member.key])
    return bought


async def _post(
    posting: Posting,
    member: Member,
    key: StreakKey,
    event: StreakInLedger,
    program: Program,
    market: Market,
    terms: DailyStreak,
    *,
    now: datetime,
) -> BoughtFreeze:
    """Record the freeze, then take the points. As everywhere, credits are locked before balances."""
    points, id_ = price(terms), new_id()
    if not await add_freezes(posting.conn, key, event, id_=id_, version=program.version, count=1):
        raise _Overtaken
    accounts = await open_accounts(posting.conn, [member.key], now=now)
    account = accounts.by_key.get(member.key)
    if account is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    check_points(account.active, points)
    account.redeem(points, id_, now)
    hold = Hold(
        program_id=member.program_id,
        member_id=member.member_id,
        id=id_,
        purpose="freeze",
        state="captured",
        points=points,
        created_at=now,
        closed_at=now,
    )
    await add_hold(posting.conn, hold)
    await posting.post(accounts)
    posting.note_changes([member.key])
    return BoughtFreeze(freezes_at(event.streak, now, terms), points)
