"""Adjust balances: an operator gives or takes points, once per reference, with a reason."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.accounts.balance import Balance
from engage.domain.accounts.lots import Lot
from engage.domain.activity import ONE_LINE, Identifier
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import ADJUSTMENT_RULE, MemberKey, adjustment_reference
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.ledger.accounts import Accounts, open_accounts
from engage.ledger.adjustments import (
    AdjustingCredit,
    Adjustment,
    AdjustmentEntry,
    add_adjusting_credits,
    add_adjustments,
    read_adjustment,
    read_posted,
)
from engage.ledger.balances import read_balances
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member

LARGEST = 1_000_000_000

# No range excludes 0, so the API's body check does.
Signed = Annotated[
    int,
    Meta(
        ge=-LARGEST,
        le=LARGEST,
        description=f"a whole number from {-LARGEST} to {LARGEST}, not 0, which takes points if negative",
    ),
]
Reason = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=ONE_LINE, description="1 to 500 characters on one line")
]


class AdjustmentRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points to give or to take. `reference` is the operator's own, such as a ticket number, and unique for a
    member.
    """

    points: Signed
    reason: Reason
    reference: Identifier


class AdjustmentResult(Struct, frozen=True):
    """The posted entry and the current balance."""

    entry: AdjustmentEntry
    balance: Balance


async def adjust(
    services: Services,
    program_id: str,
    member_id: str,
    request: AdjustmentRequest,
    *,
    operator: str,
    keyed: Keyed[AdjustmentResult] | None = None,
) -> AdjustmentResult:
    """Post an adjustment. Repeating it with the same reference posts nothing and returns the same entry.

    Raises Refusal unknown_member, reference_used (by another adjustment), insufficient_points,
    request_in_flight; Unavailable.
    """
    assert request.points
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    key = (member.program_id, member.member_id)
    async with open_posting(services, cause=ADJUSTMENT_RULE) as posting:
        conn = posting.conn
        await claim(conn, keyed)
        accounts = await open_accounts(conn, [key], now=now)
        known = await read_adjustment(conn, key, request.reference)
        if known is None:
            known = await give_or_take(services, conn, member, accounts, request, operator=operator, now=now)
            await posting.post(accounts)
        elif (known.points, known.reason) != (request.points, request.reason):
            raise Refusal(Code.REFERENCE_USED, reference=request.reference)
        result = AdjustmentResult(await read_posted(conn, known), (await read_balances(conn, [key]))[key])
        await keep(conn, keyed, result)
    return result


async def give_or_take(
    services: Services,
    conn: AsyncConnection,
    member: Member,
    accounts: Accounts,
    request: AdjustmentRequest,
    *,
    operator: str,
    now: datetime,
) -> Adjustment:
    """Change an open account, which the caller posts, and store the adjustment.

    Raises Refusal insufficient_points.
    """
    key = (member.program_id, member.member_id)
    account = accounts.by_key[key]
    if request.points > 0:
        program = services.programs.latest(member.program_id, at=now, country=member.country)
        await _give(conn, key, account, program, member.country, request, now=now)
    else:
        _take(account, request, now=now)
    # Lots that expired by now, and the payment of a debt, have separate entries.
    position = next(
        n for n, movement in enumerate(account.movements, start=1) if movement.kind == "adjustment"
    )
    adjustment = Adjustment(
        program_id=key[0],
        member_id=key[1],
        reference=request.reference,
        points=request.points,
        reason=request.reason,
        operator=operator,
        at=now,
        entry_seq=account.opened.seq + position,
    )
    await add_adjustments(conn, [adjustment])
    return adjustment


async def _give(
    conn: AsyncConnection,
    key: MemberKey,
    account: Account,
    program: Program,
    country: str,
    request: AdjustmentRequest,
    *,
    now: datetime,
) -> None:
    """Add a credit that is active at once, with a lot that expires as the program says."""
    zone = (program.countries.get(country) or next(iter(program.countries.values()))).zone
    ends_at, id_, reference = (
        program.expiry.expires_at(now, zone),
        new_id(),
        adjustment_reference(request.reference),
    )
    why: dict[str, Any] = {
        "program": program.id,
        "version": program.version,
        "rule": ADJUSTMENT_RULE,
        "at": now,
        "zone": zone,
        "inputs": {"points": request.points},
        "trace": [step(TraceCode.ADJUSTED, reason=request.reason)],
    }
    credit = AdjustingCredit(
        program_id=key[0],
        member_id=key[1],
        id=id_,
        points=request.points,
        reference=request.reference,
        version=program.version,
        why=why,
        at=now,
        expires_at=ends_at,
    )
    await add_adjusting_credits(conn, [credit])
    lot = Lot(id_, request.points, request.points, 0, now, ends_at)
    account.open_lot(lot, now, kind="adjustment", out_of="adjusted", reference=reference)


def _take(account: Account, request: AdjustmentRequest, *, now: datetime) -> None:
    points = -request.points
    if points > account.active:
        raise Refusal(Code.INSUFFICIENT_POINTS, active=account.active, points=points)
    reference = adjustment_reference(request.reference)
    account.deduct(points, now, kind="adjustment", into="adjusted", reference=reference)
