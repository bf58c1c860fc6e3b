"""One activity while it is being recorded: the slots it wants, and the credits that it has so far."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.due import OnConfirmation
from engage.domain.earning.limits import Slot, StreakSlot, WindowSlot
from engage.domain.earning.slots import Grant, WindowGrant, refused, wanted
from engage.domain.earning.terms import EarningTerms
from engage.domain.identity import Origin
from engage.domain.keys import ReferenceKey
from engage.domain.program.program import Program
from engage.domain.protection.suspicion import Suspicion, held
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity, view_of
from engage.flows.activities.decisions import Decisions
from engage.flows.activities.late_days import LateDay
from engage.flows.activities.limits_from_ledger import Streaks
from engage.gate.claims import ClaimResult, ClaimStatus, SlotRequest, StreakEvent
from engage.ledger.accept import CreditToAccept
from engage.ledger.streaks import StreakKey
from engage.runtime.idempotency import Keyed
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.runtime.terms import Acting
from engage.runtime.velocity import Observed
from engage.store.members.members import Member


class Offer(Struct, frozen=True):
    """The credits that the database may accept for one grant: that of the slot's rule, and those of the rules
    that share the slot.
    """

    attempt: "Attempt"
    grant: Grant
    credits: list[CreditToAccept]

    def exhausted(self, exhausted: Mapping[UUID, str]) -> str | None:
        """The campaign that cannot pay the rule of the slot, by the credits that cannot be paid."""
        own = (credit for credit in self.credits if credit.with_id is None)
        return next((exhausted[credit.id] for credit in own if credit.id in exhausted), None)


class Attempt(Struct):
    """`terms` are those of `program`, and of campaigns that are for the member. `slots` are those that their
    rules want for the activity. `closed_rules` have paid, or have nothing to pay. `grants` are the gate's, in
    this round; `won` are those whose `credits` the database has accepted. `taken` are the windows in which
    the first slot found no place. `seqs` are the numbers of granted days among the events of their streaks,
    by rule. `is_absent`: the gate has no records of the member. `late` are days that the ledger has decided,
    by rule, in this round. `exhausted` are the campaigns whose budgets could not pay, by their rule.
    `suspicion` is that of this round.
    """

    member: Member
    activity: AnyActivity
    at: datetime
    program: Program
    terms: EarningTerms
    zone: str
    slots: list[Slot]
    decisions: Decisions
    keyed: Keyed[RecordedActivity] | None
    origin: Origin | None = None
    suspicion: Suspicion | None = None
    closed_rules: set[str] = field(default_factory=set)
    grants: list[Grant] = []
    won: list[Grant] = []
    credits: list[CreditToAccept] = []
    taken: list[WindowSlot] = []
    seqs: dict[str, int] = field(default_factory=dict)
    is_absent: bool = False
    late: dict[str, LateDay] = field(default_factory=dict)
    exhausted: dict[str, str] = field(default_factory=dict)
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
        rules = self.terms.rules.matching(self.activity)
        return any(isinstance(rule.due, OnConfirmation) for rule in rules)

    @property
    def key_to_claim(self) -> Keyed[RecordedActivity] | None:
        """The key of the request, until credits of an earlier round were accepted under it."""
        return None if self.credits else self.keyed

    @property
    def streak_slot(self) -> StreakSlot | None:
        return next((slot for slot in self.slots if isinstance(slot, StreakSlot)), None)

    def request(self, slot: Slot) -> SlotRequest:
        return SlotRequest(*self.member.key, slot)

    def confirmation(self, grant: Grant) -> SlotRequest:
        """The request that confirms a grant to the gate."""
        seq = self.seqs.get(grant.slot.rule_id)
        event = None if seq is None or grant.run is None else StreakEvent(grant.run, seq)
        return SlotRequest(*self.member.key, grant.slot, event)

    def claims(self) -> list[Slot]:
        """The slots to claim from the gate: of a late day, which the ledger has decided, only its windows."""
        slots: list[Slot] = []
        for slot in self.open_slots:
            late = self.late.get(slot.rule_id)
            if late is None:
                slots.append(slot)
            elif late.grant is not None:
                slots += late.grant.slot.further
        return slots

    def take(self, claimed: list[tuple[Slot, ClaimResult]]) -> bool:
        """Take the grants of this round from the results of `claims`; False if the gate is unsure of any."""
        self.grants, self.seqs, results = [], {}, iter(claimed)
        for slot in self.open_slots:
            late = self.late.get(slot.rule_id)
            if late is None:
                _, claim = next(results)
                full = claim.taken(slot)
                if claim.grant is not None:
                    self.grants.append(claim.grant)
                if claim.event is not None:
                    self.seqs[slot.rule_id] = claim.event.seq
            else:
                full = self._take_late(late, results)
            if slot is self.slots[0]:
                self.taken = full
        # Of a late day without windows nothing is claimed: the gate may have records.
        self.is_absent = bool(claimed) and all(claim.is_absent for _, claim in claimed)
        return all(claim.status != ClaimStatus.UNKNOWN for _, claim in claimed)

    def _take_late(self, late: LateDay, results: Iterator[tuple[Slot, ClaimResult]]) -> list[WindowSlot]:
        """Take a late day with a place in each window; returns the windows that have none."""
        if late.grant is None:
            return []
        slot, places, full = late.grant.slot, [], []
        for window in slot.further:
            _, claim = next(results)
            places.append(WindowGrant(window, claim.number, claim.left))
            if claim.status == ClaimStatus.REFUSED:
                full.append(window)
        if not full:
            self.grants.append(replace(late.grant, further=tuple(places)))
            self.seqs[slot.rule_id] = late.seq
        return full

    def decided(self) -> list[NewCredit]:
        """The credits for the grants of this round."""
        return self._decide([*self.won, *self.grants])

    def _decide(self, grants: list[Grant]) -> list[NewCredit]:
        credits = self.decisions.credits(self.terms, self.activity, at=self.at, zone=self.zone, grants=grants)
        if self.suspicion is None:
            return credits
        return [held(self.terms, credit, self.suspicion) for credit in credits]

    def observed(self) -> Observed:
        """The activity as velocity rules see it: by its reference, or by the slot that it gets."""
        grant = self.grants[0]
        return Observed(
            program=self.program,
            member_id=self.member.member_id,
            origin=self.origin,
            name=str(self.activity.__struct_config__.tag),
            activity=self.activity.reference or grant.slot.source_key(grant.number),
            at=self.at,
            zone=self.zone,
        )

    def offers(self) -> list[Offer]:
        """An offer for each grant of this round."""
        credits = self.decided()
        return [Offer(self, grant, self._credits_of(grant, credits)) for grant in self.grants]

    def _credits_of(self, grant: Grant, credits: list[NewCredit]) -> list[CreditToAccept]:
        id_, known, rule_id = new_id(), bool(self.credits), grant.slot.rule_id
        rows, seq = [], self.seqs.get(rule_id)
        row = partial(CreditToAccept, *self.member.key, suspicion=self.suspicion)
        late = self.late.get(rule_id)
        for credit in [*credits, *(() if late is None else self._completed(late))]:
            if credit.rule_id == rule_id:
                rows.append(row(id_, credit, known=known, streak_seq=seq))
            elif self.terms.rules.leader(credit.rule_id).id == rule_id:
                rows.append(row(new_id(), credit, with_id=id_))
        return rows

    def _completed(self, late: LateDay) -> list[NewCredit]:
        """The credits that other rules pay for the days that a late one completes."""
        return [
            credit
            for grant in late.completed
            for credit in self._decide([grant])
            if credit.rule_id != grant.slot.rule_id
        ]

    def win(self, grant: Grant, credits: list[CreditToAccept]) -> None:
        self.closed_rules.add(grant.slot.rule_id)
        self.won = [*self.won, grant]
        self.credits = [*self.credits, *credits]

    def close_exhausted(self, grant: Grant, campaign: str) -> None:
        """Close a rule that its campaign could not pay."""
        self.closed_rules.add(grant.slot.rule_id)
        self.exhausted[grant.slot.rule_id] = campaign

    def copy(self) -> "Attempt":
        """Returns an attempt that can win without this one."""
        return replace(self, closed_rules=set(self.closed_rules))

    def want_again(self, streaks: Streaks) -> None:
        """Determine the slots again, with the streak of the database."""
        slot = self.streak_slot
        found = None if slot is None else streaks.get(StreakKey(*self.member.key, slot.rule_id))
        streak = None if found is None else found.streak
        if streak is None or streak.zone == self.zone:
            # As without a streak, which all attempts of the zone share.
            self.slots = self.decisions.wanted(self.terms, self.activity, at=self.at, zone=self.zone)
        else:
            self.slots = wanted(self.terms, self.activity, at=self.at, zone=self.zone, streak=streak)

    def finish(self) -> None:
        """Answers with the credits so far, or with the refusal of the first slot when there are none."""
        campaign = self.exhausted.get(self.slots[0].rule_id)
        if self.credits:
            self.answer = self.recorded()
        elif campaign is not None:
            self.answer = Refusal(Code.BUDGET_EXHAUSTED, campaign=campaign)
        else:
            self.answer = refused(self.terms, self.slots[0], self.taken)

    def recorded(self) -> RecordedActivity:
        """Returns the answer with the credits so far."""
        streak, limit = None, None
        for grant in self.won:
            limit = grant.limit or limit
            if grant.run is not None:
                streak = self.decisions.streak(self.program, grant.slot.rule_id, grant.run, at=self.at)
        return RecordedActivity([view_of(row) for row in self.credits], streak, limit)


def acting(services: Services, activity: MemberActivity, member: Member | None) -> Acting:
    """`member` is the survivor if the acting one was merged. Raises Refusal unknown_member, not_offered."""
    if member is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    program, market = services.programs.in_force(member.program_id, at=activity.at, country=member.country)
    name = str(activity.activity.__struct_config__.tag)
    return Acting(member, program, market.zone, name, activity.at)


def prepare(activity: MemberActivity, by: Acting, terms: EarningTerms, decisions: Decisions) -> Attempt:
    """Raises Refusal not_offered, share_id_missing."""
    slots = decisions.wanted(terms, activity.activity, at=activity.at, zone=by.zone)
    if not slots:
        raise Refusal(Code.NOT_OFFERED)
    return Attempt(
        by.member,
        activity.activity,
        activity.at,
        by.program,
        terms,
        by.zone,
        slots,
        decisions,
        activity.keyed,
        activity.origin,
    )
