"""Post what members get for steps, and what they lose with the causes of them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.challenges.credits import step_credit
from engage.domain.keys import removal_reference
from engage.flows.challenges.differences import Differences
from engage.flows.rewards.give import Recipient, lock_gift_stock, make_gift, write_gifts
from engage.ledger.accept import CreditToAccept
from engage.ledger.accounts import lock_balances, open_accounts
from engage.ledger.corrections import (
    Correction,
    LockedCredit,
    lock_credits,
    reduce_to,
    write_corrections,
)
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting
from engage.runtime.reservations import Promise, reserve
from engage.runtime.services import Services
from engage.store.challenges.paid import Gift, PaidCredit, add_gifts, take_gifts_back


async def post_differences(services: Services, posting: Posting, changing: Sequence[Differences]) -> None:
    """Post the differences of members, who are locked. Raises AccountFull, Unavailable.

    A step that the budget of its campaign cannot pay is paid when it can, with the next change of the member.
    """
    conn, now = posting.conn, services.clock.now()
    paying, reserved = await _within_budgets(services, conn, changing, now=now)
    losing = [credit for each in changing for credit in each.take_back]
    # Two accounts that are one now may have had credits of one reference.
    references = sorted({(*credit.key, credit.reference) for credit in losing})
    credits = await lock_credits(conn, references) if references else []
    await lock_balances(conn, [each.participant.key for each in changing])
    now = services.clock.now()
    if paying:
        await posting.accept(paying, now=now, reserved=reserved)
    await _take_back(posting, losing, credits, now=now)
    await _give(services, posting, changing, now=now)


async def _within_budgets(
    services: Services, conn: AsyncConnection, changing: Sequence[Differences], *, now: datetime
) -> tuple[list[CreditToAccept], set[UUID]]:
    """(the credits of steps that can be paid, those of them that are taken from budgets)"""
    wanted = [
        CreditToAccept(
            *each.participant.key, new_id(), step_credit(each.participant.program.earning, step, number)
        )
        for each in changing
        for step, number in each.pay
    ]
    promises = [
        Promise((row.program_id, row.member_id), row.credit.rule_id, row.credit.points) for row in wanted
    ]
    taken = await reserve(services, conn, promises, now=now)
    pairs = list(zip(wanted, taken, strict=True))
    paying = [row for row, each in pairs if not each.is_exhausted]
    return paying, {row.id for row, each in pairs if each.points}


async def _take_back(
    posting: Posting, losing: Sequence[PaidCredit], credits: Sequence[LockedCredit], *, now: datetime
) -> None:
    """Take back the credits that are to be lost, of those that are locked, with what boosts added to them."""
    ids = {(credit.key, credit.id) for credit in losing}
    references = {(credit.key, credit.reference) for credit in losing}
    locked = [
        credit
        for credit in credits
        if (credit.key, credit.id) in ids
        or (credit.beside is not None and (credit.key, credit.reference) in references)
    ]
    if not locked:
        return
    accounts = await open_accounts(
        posting.conn, [c.key for c in locked], now=now, credit_ids=[credit.id for credit in locked]
    )
    corrections = []
    for credit in locked:
        reference = removal_reference(credit.reference)
        after = reduce_to(accounts.by_key[credit.key], credit, 0, at=now, reference=reference)
        corrections.append(Correction(credit, after, reference))
    await posting.post(accounts)
    await write_corrections(posting.conn, corrections, now=now)
    posting.note_changes(credit.key for credit in locked)


async def _give(
    services: Services, posting: Posting, changing: Sequence[Differences], *, now: datetime
) -> None:
    """Give rewards, as far as there are any left, and take back those that are not used."""
    conn = posting.conn
    gone = [gift for each in changing for gift in each.take_gifts]
    if gone:
        await take_gifts_back(conn, gone, now=now)
    wanted = [(each.participant, step) for each in changing for step in each.give]
    if not wanted:
        return
    stock = await lock_gift_stock(
        services, conn, {(each.program.id, step.step.reward or "") for each, step in wanted}
    )
    coupons, gifts = [], []
    for each, step in wanted:
        recipient = Recipient(each.member, each.program, each.market)
        reward = stock.find(recipient, step.step.reward or "")
        if reward is None:
            continue  # It is given when there is one again, with the next change of the member.
        coupon = make_gift(stock, recipient, reward, now=now)
        coupons.append(coupon)
        gifts.append(
            Gift(*each.key, step.run.id, step.run.label, step.step.at, coupon.id, step.by.at, step.by.zone)
        )
    await write_gifts(conn, stock, coupons)
    if gifts:
        await add_gifts(conn, gifts)
