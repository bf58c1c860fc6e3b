"""An activity becomes a credit: the promise of a 202. Many at once, each decided and kept on its own.

The gate says which slots are free, the rules say what they pay, the database takes the credits; only then is
there an answer. Where the gate was wrong or does not know, the database tells it, and the activity goes
round again.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from engage.domain.activity import AnyActivity
from engage.domain.decide import decide, not_offered, refused, streak_rule
from engage.domain.program import Program
from engage.domain.refusal import Refusal, Unavailable
from engage.domain.slots import Grant, OnceSlot, Slot, StreakSlot, WindowSlot, wanted
from engage.domain.streak import Streak, StreakView, view
from engage.flows.ids import new_id
from engage.flows.members import unknown_member
from engage.flows.parts import Parts
from engage.flows.transaction import one_statement, transaction
from engage.flows.truth import Streaks, load_gate
from engage.gate.client import Asked, Claimed, Status
from engage.ledger.accept import Accepted, Accepting, accept
from engage.ledger.credits import Credit, Held, by_reference
from engage.store.members import Member

# A lost race costs a round, and every round somebody wins a place; a window has at most 32.
ROUNDS = 40


class Act(msgspec.Struct, frozen=True):
    """What a member did, and when."""

    program_id: str
    member_id: str
    activity: AnyActivity
    at: datetime


class CreditView(msgspec.Struct, frozen=True):
    """A credit as the answer shows it."""

    id: UUID
    rule: str
    points: int
    state: str
    due_at: datetime | None


class LimitView(msgspec.Struct, frozen=True):
    rule: str
    remaining: int
    resets_at: datetime


class Recorded(msgspec.Struct, frozen=True):
    """What came of an activity. `repeated`: it had been recorded before, and nothing was added."""

    credits: list[CreditView]
    streak: StreakView | None = None
    limit: LimitView | None = None
    repeated: bool = False


class _Open(msgspec.Struct):
    """An activity that has no answer yet."""

    index: int
    act: Act
    member: Member
    program: Program
    zone: str
    slots: list[Slot]
    grants: list[Grant] = []


async def record(parts: Parts, acts: Sequence[Act]) -> list[Recorded | Exception]:
    """The answer to each activity, in order: what it earned, or a Refusal.

    Raises Unavailable when a part is away; then nothing was answered, and asking again loses and
    doubles nothing.
    """
    answers: list[Recorded | Exception | None] = [None] * len(acts)
    open_ = await _prepare(parts, acts, answers)
    for _ in range(ROUNDS):
        if not open_:
            return [answer for answer in answers if answer is not None]
        granted, unsure = await _claim(parts, open_, answers)
        unsure += await _accept(parts, granted, answers)
        if unsure:
            await _reload(parts, unsure)
        open_ = unsure
    raise Unavailable("valkey")


async def _prepare(
    parts: Parts, acts: Sequence[Act], answers: list[Recorded | Exception | None]
) -> list[_Open]:
    members = await parts.members.find(parts.db, [(act.program_id, act.member_id) for act in acts])
    open_ = []
    for index, act in enumerate(acts):
        member = members.get((act.program_id, act.member_id))
        try:
            if member is None:
                raise unknown_member()
            program, market = parts.programs.in_force(act.program_id, at=act.at, country=member.country)
            slots = wanted(program, act.activity, at=act.at, zone=market.zone)
            if not slots:
                raise not_offered()
        except Refusal as refusal:
            answers[index] = refusal
        else:
            open_.append(_Open(index, act, member, program, market.zone, slots))
    return open_


async def _claim(
    parts: Parts, open_: list[_Open], answers: list[Recorded | Exception | None]
) -> tuple[list[_Open], list[_Open]]:
    """(granted, unsure). Firm refusals are answered, unless the same activity has been recorded before."""
    asked = [Asked(o.act.program_id, o.act.member_id, slot) for o in open_ for slot in o.slots]
    claims = iter(await parts.gate.claim(asked))
    granted, unsure, no = [], [], []
    for one in open_:
        claimed: list[tuple[Slot, Claimed]] = [(slot, next(claims)) for slot in one.slots]
        one.grants = [Grant(slot, c.number, c.left) for slot, c in claimed if c.status == Status.GRANTED]
        if any(c.status == Status.UNKNOWN for _, c in claimed):
            unsure.append(one)
        elif one.grants:
            granted.append(one)
        else:
            no.append(one)
    repeated = await _recorded_before(parts, [o for o in no if isinstance(o.slots[0], WindowSlot)])
    for one in no:
        before = repeated.get(one.index)
        answers[one.index] = (
            refused(one.program, one.slots[0], one.act.activity) if before is None else before
        )
    return granted, unsure


async def _accept(
    parts: Parts, granted: list[_Open], answers: list[Recorded | Exception | None]
) -> list[_Open]:
    """Answers what the database has taken; returns those whose place it had given away already."""
    accepting: list[Accepting] = []
    mine: list[tuple[_Open, list[Accepting]]] = []
    for one in granted:
        act = one.act
        credits = decide(one.program, act.activity, at=act.at, zone=one.zone, grants=one.grants)
        rows = [Accepting(act.program_id, act.member_id, new_id(), credit) for credit in credits]
        mine.append((one, rows))
        accepting += rows
    if not accepting:
        return []
    outbox_id = new_id()
    async with one_statement(parts.db) as conn:
        accepted = await accept(
            conn, accepting, now=parts.clock.now(), wall=parts.clock.wall(), outbox_id=outbox_id
        )
    lost = [one for one, rows in mine if not any(row.id in accepted.ids for row in rows)]
    won = [(one, rows) for one, rows in mine if any(row.id in accepted.ids for row in rows)]
    for one, rows in won:
        answers[one.index] = _recorded(one, [row for row in rows if row.id in accepted.ids])
    parts.after.add(
        confirmed=[
            (Asked(one.act.program_id, one.act.member_id, grant.slot), grant.number)
            for one, _ in won
            for grant in one.grants
        ],
        changes=accepted.changes,
        cause="pending",
        due=_due_times(accepted, accepting),
        outbox_id=outbox_id,
    )
    return await _lost(parts, lost, answers)


async def _lost(parts: Parts, lost: list[_Open], answers: list[Recorded | Exception | None]) -> list[_Open]:
    """Answers those whose credit the database has already; returns those that may find another place."""
    if not lost:
        return []
    repeated = await _recorded_before(parts, lost)
    again = []
    for one in lost:
        elsewhere: list[Slot] = [slot for slot in one.slots if not isinstance(slot, OnceSlot)]
        if one.index in repeated:
            answers[one.index] = repeated[one.index]
            await parts.gate.undo([Asked(one.act.program_id, one.act.member_id, s) for s in one.slots])
        elif elsewhere:
            one.slots = elsewhere
            again.append(one)
        else:
            answers[one.index] = refused(one.program, one.slots[0], one.act.activity)
            await parts.gate.confirm(
                [(Asked(one.act.program_id, one.act.member_id, s), 1) for s in one.slots]
            )
    return again


async def _recorded_before(parts: Parts, open_: list[_Open]) -> dict[int, Recorded | Exception]:
    """Answers for activities that the shop's own id shows to be known: what they earned, or that they were
    removed. An activity without such an id cannot be told from another one.
    """
    asked = [
        (o.index, (o.act.program_id, o.act.member_id, reference))
        for o in open_
        if (reference := o.act.activity.reference) is not None and isinstance(o.slots[0], WindowSlot)
    ]
    if not asked:
        return {}
    async with one_statement(parts.db) as conn:
        found = await by_reference(conn, [key for _, key in asked])
    return {index: _repeat(found[key]) for index, key in asked if key in found}


def _repeat(held: list[Held]) -> Recorded | Exception:
    if all(one.removed for one in held):
        return Refusal("activity_removed", status=409)
    return Recorded([_view(one.credit) for one in held if not one.removed], repeated=True)


async def _reload(parts: Parts, unsure: list[_Open]) -> None:
    """What the gate is unsure of it forgets, and is told what the database knows."""
    await parts.gate.undo(
        [Asked(o.act.program_id, o.act.member_id, slot) for o in unsure for slot in o.slots]
    )
    members = {(o.act.program_id, o.act.member_id): o.member for o in unsure}
    async with transaction(parts.db) as conn:
        streaks = await load_gate(parts, conn, list(members.values()), at=unsure[0].act.at)
    for one in unsure:
        streak = _streak_of(one, streaks)
        one.slots = wanted(one.program, one.act.activity, at=one.act.at, zone=one.zone, streak=streak)


def _streak_of(one: _Open, streaks: Streaks) -> Streak | None:
    for slot in one.slots:
        if isinstance(slot, StreakSlot):
            return streaks.get((one.act.program_id, one.act.member_id, slot.rule_id))
    return None


def _recorded(one: _Open, rows: list[Accepting]) -> Recorded:
    streak, limit = None, None
    for grant in one.grants:
        match grant.slot:
            case StreakSlot(day=day, zone=zone):
                found = streak_rule(one.program)
                streak = view(
                    Streak(day, grant.number, zone),
                    one.act.at,
                    zone,
                    bonus_every_days=found[1] if found else None,
                )
            case WindowSlot(rule_id=rule_id, window=window):
                limit = LimitView(rule_id, grant.left, window.end)
            case _:
                pass
    credits = [
        CreditView(row.id, row.credit.rule_id, row.credit.points, "pending", row.credit.due_at)
        for row in rows
    ]
    return Recorded(credits, streak, limit)


def _due_times(accepted: Accepted, accepting: list[Accepting]) -> list[datetime]:
    return [row.credit.due_at for row in accepting if row.id in accepted.ids]


def _view(credit: Credit) -> CreditView:
    return CreditView(credit.id, credit.rule, credit.points, credit.state, credit.due_at)
