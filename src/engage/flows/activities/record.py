"""An activity becomes a credit: the promise of a 202. Many at once, each decided and kept on its own.

The gate says which slots are free, the rules say what they pay, the database takes the credits; only then is
there an answer. Where the gate was wrong or does not know, the database tells it, and the activity goes
round again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from engage.domain.activity import AnyActivity
from engage.domain.earning.decide import NewCredit, refused
from engage.domain.earning.rules import SameAs
from engage.domain.earning.slots import Grant, OnceSlot, Slot, StreakSlot, WindowSlot, wanted
from engage.domain.earning.streak import Streak, StreakView
from engage.domain.program.program import Program
from engage.domain.refusals import AccountClosed, Code, Refusal, Unavailable
from engage.flows.activities.decisions import Decisions
from engage.flows.activities.limits_from_ledger import Streaks, load_gate
from engage.gate.client import ClaimStatus, SlotRequest
from engage.ledger.accept import CreditToAccept
from engage.ledger.credits import Credit, ReferencedCredit, read_by_reference, read_used_keys
from engage.ledger.used_slots import SlotQuery, read_used_slots
from engage.runtime.database import one_statement, transaction
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member

# A lost race costs a round, and every round somebody wins a place; a window has at most 32.
ROUNDS = 40


class MemberActivity(msgspec.Struct, frozen=True):
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


class RecordedActivity(msgspec.Struct, frozen=True):
    """What came of an activity. `repeated`: it had been recorded before, and nothing was added."""

    credits: list[CreditView]
    streak: StreakView | None = None
    limit: LimitView | None = None
    repeated: bool = False


Answers = list[RecordedActivity | Exception | None]


class _Open(msgspec.Struct):
    """An activity that has no answer yet: the slots it wants, and what it has come to so far."""

    index: int
    act: MemberActivity
    member: Member
    program: Program
    zone: str
    slots: list[Slot]
    decisions: Decisions
    settled: set[str] = msgspec.field(default_factory=set)  # Rules that have given, or have nothing to give.
    grants: list[Grant] = []  # Of this round.
    won: list[Grant] = []
    rows: list[CreditToAccept] = []  # Taken by the database.

    @property
    def sought(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.rule_id not in self.settled]

    @property
    def name(self) -> tuple[str, str, str] | None:
        """What the shop calls this activity; without a name it cannot be told from another one."""
        reference = self.act.activity.reference
        return None if reference is None else (self.act.program_id, self.act.member_id, reference)

    def asked(self, slot: Slot) -> SlotRequest:
        return SlotRequest(self.act.program_id, self.act.member_id, slot)

    def win(self, grant: Grant, rows: list[CreditToAccept]) -> None:
        self.settled.add(grant.slot.rule_id)
        self.won = [*self.won, grant]
        self.rows = [*self.rows, *rows]


async def record(services: Services, acts: Sequence[MemberActivity]) -> list[RecordedActivity | Exception]:
    """The answer to each activity, in order: what it earned, or a Refusal.

    It is Unavailable where a part was away before there was an answer: nothing was promised then, and asking
    again loses and doubles nothing.
    """
    answers = await _record(services, acts)
    closed = [n for n, answer in enumerate(answers) if isinstance(answer, AccountClosed)]
    if closed:
        # One of a batch was merged or erased just now, and none of it was taken.
        await services.members.refresh(services.db)
        again = await _record(services, [acts[n] for n in closed])
        for n, answer in zip(closed, again, strict=True):
            answers[n] = answer
    return answers


async def _record(services: Services, acts: Sequence[MemberActivity]) -> list[RecordedActivity | Exception]:
    answers: Answers = [None] * len(acts)
    away = Unavailable("valkey")
    open_: list[_Open] = []
    try:
        open_ = await _prepare(services, acts, answers)
        await _rounds(services, open_, answers)
    except Unavailable as error:
        away = error
    for one in open_:
        if answers[one.index] is None and one.rows:
            answers[one.index] = _recorded(one)
    return [away if answer is None else answer for answer in answers]


async def _rounds(services: Services, open_: list[_Open], answers: Answers) -> None:
    for _ in range(ROUNDS):
        if not open_:
            return
        granted, unsure = await _claim(services, open_, answers)
        unsure += await _accept(services, granted, answers)
        if unsure:
            await _reload(services, unsure)
        open_ = unsure


async def _prepare(services: Services, acts: Sequence[MemberActivity], answers: Answers) -> list[_Open]:
    members = await services.members.find(services.db, [(act.program_id, act.member_id) for act in acts])
    decisions = Decisions()
    open_ = []
    for index, act in enumerate(acts):
        member = members.get((act.program_id, act.member_id))
        try:
            if member is None:
                raise Refusal(Code.UNKNOWN_MEMBER)
            program, market = services.programs.in_force(act.program_id, at=act.at, country=member.country)
            slots = decisions.wanted(program, act.activity, at=act.at, zone=market.zone)
            if not slots:
                raise Refusal(Code.NOT_OFFERED)
        except Refusal as refusal:
            answers[index] = refusal
        else:
            if member.member_id != act.member_id:  # Who was merged acts for whom they were merged into.
                act = msgspec.structs.replace(act, member_id=member.member_id)
            open_.append(_Open(index, act, member, program, market.zone, slots, decisions))
    return open_


async def _claim(services: Services, open_: list[_Open], answers: Answers) -> tuple[list[_Open], list[_Open]]:
    """(granted, unsure). Firm refusals are answered, unless the same activity has been recorded before."""
    sought = [(one, one.sought) for one in open_]
    claims = iter(await services.gate.claim([one.asked(slot) for one, slots in sought for slot in slots]))
    granted, unsure, no = [], [], []
    told: set[tuple[str, str, str]] = set()
    for one, slots in sought:
        claimed = [(slot, next(claims)) for slot in slots]
        one.grants = [Grant(slot, c.number, c.left) for slot, c in claimed if c.status == ClaimStatus.GRANTED]
        if any(c.status == ClaimStatus.UNKNOWN for _, c in claimed):
            unsure.append(one)
        elif not one.grants:
            no.append(one)
        elif one.name in told:
            unsure.append(one)  # Told twice in a batch: what comes of the first decides about the second.
        else:
            granted.append(one)
            if one.name is not None:
                told.add(one.name)
    known = await _recorded_before(services, [one for one in no if not one.rows])
    for one in no:
        answers[one.index] = known.get(one.index) or _outcome(one)
    return granted, unsure


async def _accept(services: Services, granted: list[_Open], answers: Answers) -> list[_Open]:
    """Answers what the database has taken; returns those whose place it had given away already."""
    if not granted:
        return []
    offers = [(one, grant, rows) for one in granted for grant, rows in _offers(one)]
    accepting = [row for _, _, rows in offers for row in rows]
    async with open_posting(services, cause="pending", autocommit=True) as posting:
        accepted = await posting.accept(accepting, now=services.clock.now())
        for one, grant, rows in offers:
            taken = [row for row in rows if row.id in accepted]
            if taken:
                one.win(grant, taken)
                posting.confirm(one.asked(grant.slot), grant.number)
    lost = []
    for one in granted:
        if all(grant.slot.rule_id in one.settled for grant in one.grants):
            answers[one.index] = _outcome(one)
        else:
            lost.append(one)
    return await _lost(services, lost, answers) if lost else []


def _offers(one: _Open) -> list[tuple[Grant, list[CreditToAccept]]]:
    """What each grant of this round is good for: its own rule's credit and those that share its slot."""
    act, program = one.act, one.program
    grants = [*one.won, *one.grants]
    credits = one.decisions.credits(program, act.activity, at=act.at, zone=one.zone, grants=grants)
    offers = []
    for grant in one.grants:
        own_id, known = new_id(), bool(one.rows)
        rows = []
        for credit in credits:
            if credit.rule_id == grant.slot.rule_id:
                rows.append(
                    CreditToAccept(
                        act.program_id,
                        act.member_id,
                        own_id,
                        credit,
                        known=known,
                        day_before=_day_before(grant),
                    )
                )
            elif _source(program, credit) == grant.slot.rule_id:
                rows.append(CreditToAccept(act.program_id, act.member_id, new_id(), credit, with_id=own_id))
        offers.append((grant, rows))
    return offers


def _source(program: Program, credit: NewCredit) -> str | None:
    """The rule whose slot a credit shares."""
    limit = program.earning.rules.by_id[credit.rule_id].limit
    return limit.rule if isinstance(limit, SameAs) else None


def _day_before(grant: Grant) -> str | None:
    """Where a run begins: the source key of a day that it would go on from instead."""
    slot = grant.slot
    if not isinstance(slot, StreakSlot) or grant.number > 1:
        return None
    return StreakSlot(slot.rule_id, slot.day - timedelta(days=1), slot.zone).source_key(0)


async def _lost(services: Services, lost: list[_Open], answers: Answers) -> list[_Open]:
    """Answers those that the database has no place for; returns those that may find another one."""
    known = await _recorded_before(services, [one for one in lost if not one.rows])
    await _settle_lost(services, lost)
    again = []
    for one in lost:
        if one.index in known:
            answers[one.index] = known[one.index]
            await services.gate.undo([one.asked(slot) for slot in one.sought])
        elif one.sought:
            again.append(one)
        else:
            answers[one.index] = _outcome(one)
    return again


async def _settle_lost(services: Services, lost: list[_Open]) -> None:
    """Of what has one place only, the gate keeps in mind that it is taken. A place that is free all the same
    was not to be had because the rule has paid for this activity under another name.
    """
    grants = [
        (one, grant, (one.act.program_id, one.act.member_id, grant.slot.source_key(grant.number)))
        for one in lost
        for grant in one.grants
        if grant.slot.rule_id not in one.settled and not isinstance(grant.slot, StreakSlot)
    ]
    if not grants:
        return
    async with one_statement(services.db) as conn:
        taken = await read_used_keys(conn, [key for _, _, key in grants])
    gone = [(one, grant) for one, grant, key in grants if key not in taken]
    once = [(one, grant) for one, grant, key in grants if key in taken and isinstance(grant.slot, OnceSlot)]
    await services.gate.confirm([(one.asked(grant.slot), grant.number) for one, grant in once])
    await services.gate.undo([one.asked(grant.slot) for one, grant in gone])
    for one, grant in [*gone, *once]:
        one.settled.add(grant.slot.rule_id)


async def _recorded_before(services: Services, open_: list[_Open]) -> dict[int, RecordedActivity | Exception]:
    """Answers for activities that are known by their name: what they earned, or that they were removed."""
    named = [(one, name) for one in open_ if (name := one.name) is not None]
    if not named:
        return {}
    async with transaction(services.db) as conn:
        found = await read_by_reference(conn, [name for _, name in named])
        known = [(one, found[name]) for one, name in named if name in found]
        windows = [asking for one, _ in known if (asking := _window_of(one)) is not None]
        used = await read_used_slots(conn, windows)
    return {one.index: _repeat(one, held, used) for one, held in known}


def _window_of(one: _Open) -> SlotQuery | None:
    slot = one.slots[0]
    if not isinstance(slot, WindowSlot):
        return None
    return SlotQuery(one.act.program_id, one.act.member_id, slot.prefix)


def _repeat(
    one: _Open, held: list[ReferencedCredit], used: dict[SlotQuery, list[int]]
) -> RecordedActivity | Exception:
    slot, window = one.slots[0], _window_of(one)
    if all(each.removed for each in held):
        return Refusal(Code.ACTIVITY_REMOVED)
    if not isinstance(slot, WindowSlot) or window is None:
        return refused(one.program.earning, slot)
    left = slot.count - sum(place <= slot.count for place in used.get(window, []))
    return RecordedActivity(
        [_view(each.credit) for each in held if not each.removed],
        limit=LimitView(slot.rule_id, left, slot.window.end),
        repeated=True,
    )


async def _reload(services: Services, unsure: list[_Open]) -> None:
    """What the gate is unsure of it forgets, and is told what the database knows."""
    await services.gate.undo([one.asked(slot) for one in unsure for slot in one.sought])
    members: dict[tuple[str, str], tuple[Member, datetime]] = {}
    for one in sorted(unsure, key=lambda one: one.act.at, reverse=True):
        members[one.act.program_id, one.act.member_id] = (one.member, one.act.at)
    async with transaction(services.db) as conn:
        streaks = await load_gate(services, conn, list(members.values()))
    for one in unsure:
        streak = _streak_of(one, streaks)
        one.slots = wanted(one.program.earning, one.act.activity, at=one.act.at, zone=one.zone, streak=streak)


def _streak_of(one: _Open, streaks: Streaks) -> Streak | None:
    for slot in one.slots:
        if isinstance(slot, StreakSlot):
            return streaks.get((one.act.program_id, one.act.member_id, slot.rule_id))
    return None


def _outcome(one: _Open) -> RecordedActivity | Refusal:
    """What an activity that wants nothing more has come to."""
    return _recorded(one) if one.rows else refused(one.program.earning, one.slots[0])


def _recorded(one: _Open) -> RecordedActivity:
    streak, limit = None, None
    for grant in one.won:
        match grant.slot:
            case StreakSlot(day=day, zone=zone):
                run = Streak(day, grant.number, zone)
                streak = one.decisions.streak(one.program, run, at=one.act.at)
            case WindowSlot(rule_id=rule_id, window=window):
                limit = LimitView(rule_id, grant.left, window.end)
            case _:
                pass
    credits = [
        CreditView(row.id, row.credit.rule_id, row.credit.points, "pending", row.credit.due_at)
        for row in one.rows
    ]
    return RecordedActivity(credits, streak, limit)


def _view(credit: Credit) -> CreditView:
    return CreditView(credit.id, credit.rule, credit.points, credit.state, credit.due_at)
