"""One activity while it is being recorded: the slots it wants, and the credits that it has so far."""

from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.due import OnConfirmation
from engage.domain.earning.limits import Slot, StreakSlot, WindowSlot
from engage.domain.earning.slots import Grant, refused, wanted
from engage.domain.earning.streak import Streak
from engage.domain.keys import ReferenceKey
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity, view_of
from engage.flows.activities.decisions import Decisions
from engage.flows.activities.limits_from_ledger import Streaks
from engage.gate.client import SlotRequest
from engage.ledger.accept import CreditToAccept
from engage.ledger.used_slots import StreakInLedger
from engage.runtime.idempotency import Keyed
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.members.members import Member


class Offer(Struct, frozen=True):
    """The credits that the database may accept for one grant: that of the slot's rule, and those of the rules
    that share the slot.
    """

    attempt: "Attempt"
    grant: Grant
    credits: list[CreditToAccept]


class Attempt(Struct):
    """`slots` are those that the rules want for the activity. `closed_rules` have paid, or have nothing to
    pay. `grants` are the gate's, in this round; `won` are those whose `credits` the database has accepted.
    `taken` are the windows in which the first slot found no place. `streak` is that of the ledger, where it
    was asked.
    """

    member: Member
    activity: AnyActivity
    at: datetime
    program: Program
    zone: str
    slots: list[Slot]
    decisions: Decisions
    keyed: Keyed[RecordedActivity] | None
    closed_rules: set[str] = field(default_factory=set)
    grants: list[Grant] = []
    won: list[Grant] = []
    credits: list[CreditToAccept] = []
    taken: list[WindowSlot] = []
    streak: StreakInLedger | None = None
    answer: RecordedActivity | Refusal | None = None

    @property
    def open_slots(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.rule_id not in self.closed_rules]

    @property
    def reference(self) -> ReferenceKey | None:
        """The shop's identifier of the activity, by which a repeat is recognized; None if there is none."""
        reference = self.activity.reference
        return None if reference is None else (*self.member.key, reference)

    @property
    def waits(self) -> bool:
        """True if a rule about the activity waits for the shop's word."""
        rules = self.program.earning.rules.matching(self.activity)
        return any(isinstance(rule.due, OnConfirmation) for rule in rules)

    @property
    def key_to_claim(self) -> Keyed[RecordedActivity] | None:
        """The key of the request, until credits of an earlier round were accepted under it."""
        return None if self.credits else self.keyed

    def request(self, slot: Slot) -> SlotRequest:
        return SlotRequest(*self.member.key, slot)

    def offers(self) -> list[Offer]:
        """An offer for each grant of this round."""
        credits = self.decisions.credits(
            self.program, self.activity, at=self.at, zone=self.zone, grants=[*self.won, *self.grants]
        )
        return [Offer(self, grant, self._credits_of(grant, credits)) for grant in self.grants]

    def _credits_of(self, grant: Grant, credits: list[NewCredit]) -> list[CreditToAccept]:
        id_, known, day_before = new_id(), bool(self.credits), grant.slot.day_before(grant.number)
        rows = []
        for credit in credits:
            if credit.rule_id == grant.slot.rule_id:
                rows.append(CreditToAccept(*self.member.key, id_, credit, known=known, day_before=day_before))
            elif self.program.earning.rules.leader(credit.rule_id).id == grant.slot.rule_id:
                rows.append(CreditToAccept(*self.member.key, new_id(), credit, with_id=id_))
        return rows

    def win(self, grant: Grant, credits: list[CreditToAccept]) -> None:
        self.closed_rules.add(grant.slot.rule_id)
        self.won = [*self.won, grant]
        self.credits = [*self.credits, *credits]

    def copy(self) -> "Attempt":
        """Returns an attempt that can win without this one."""
        return replace(self, closed_rules=set(self.closed_rules))

    def want_again(self, streaks: Streaks) -> None:
        """Determine the slots again, with the streak of the database."""
        self.streak = next(
            (
                streaks.get((*self.member.key, slot.rule_id))
                for slot in self.slots
                if isinstance(slot, StreakSlot)
            ),
            None,
        )
        streak = None if self.streak is None else self.streak.streak
        self.slots = wanted(self.program.earning, self.activity, at=self.at, zone=self.zone, streak=streak)

    def finish(self) -> None:
        """Answers with the credits so far, or with the refusal of the first slot when there are none."""
        if self.credits:
            self.answer = self.recorded()
        else:
            self.answer = refused(self.program.earning, self.slots[0], self.taken)

    def recorded(self) -> RecordedActivity:
        """Returns the answer with the credits so far."""
        streak, limit = None, None
        for grant in self.won:
            limit = grant.limit or limit
            if isinstance(grant.slot, StreakSlot):
                run = Streak(grant.slot.day, grant.number, grant.slot.zone)
                streak = self.decisions.streak(self.program, grant.slot.rule_id, run, at=self.at)
        return RecordedActivity([view_of(row) for row in self.credits], streak, limit)


def prepare(
    services: Services, activity: MemberActivity, member: Member | None, decisions: Decisions
) -> Attempt:
    """`member` is the survivor if the acting one was merged. Raises Refusal unknown_member, not_offered."""
    if member is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    program, market = services.programs.in_force(member.program_id, at=activity.at, country=member.country)
    slots = decisions.wanted(program, activity.activity, at=activity.at, zone=market.zone)
    if not slots:
        raise Refusal(Code.NOT_OFFERED)
    return Attempt(
        member, activity.activity, activity.at, program, market.zone, slots, decisions, activity.keyed
    )
