"""Record activities: each becomes a credit, or is refused. This is the promise of a 202.

The gate says which slots are free, the rules decide the points, the database accepts the credits; only then
is there an answer. The gate may be wrong, or not know a member. Then it is loaded from the database, and the
activity goes through another round.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from engage import tracing
from engage.domain.earning.limits import OnceSlot, StreakSlot
from engage.domain.keys import MemberKey
from engage.domain.refusals import AccountClosed, Refusal, Unavailable
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.attempt import Attempt, Offer, acting, prepare
from engage.flows.activities.confirmations import with_confirmations
from engage.flows.activities.decisions import Decisions
from engage.flows.activities.late_days import is_late, late_day
from engage.flows.activities.limits_from_ledger import load_gate
from engage.flows.activities.repeats import (
    answer_repeats,
    answer_with_others,
    one_of_each,
    split_repeats,
)
from engage.flows.activities.streaks import introduction, with_terms
from engage.gate.claims import ClaimStatus
from engage.ledger.accept import CreditToAccept
from engage.ledger.credits import read_used_keys
from engage.ledger.streaks import RecordedEvent, StreakKey, read_histories, seq_of
from engage.ledger.used_slots import query_of, read_used_slots
from engage.metrics.numbers import OTHER
from engage.runtime.batch import decide_each, in_parts, not_refused
from engage.runtime.budgets import NeedsTransaction
from engage.runtime.database import one_statement, transaction
from engage.runtime.idempotency import Keyed, claim_each, keep_each
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.runtime.terms import terms_of
from engage.runtime.velocity import suspicions_of
from engage.store.members.members import Member

# Rounds in a row that answer nothing. A lost race costs another round, and every round uses a slot. A window
# has at most 32 slots.
ROUNDS = 40

Answers = list[RecordedActivity | Refusal]
Wins = list[tuple[Offer, list[CreditToAccept]]]


class Posted(Struct, frozen=True):
    """The attempts of a posting, or why their key cannot be used now; the offers that the database accepts,
    with their credits; and those that campaigns cannot pay.
    """

    claimed: list[Attempt | Refusal]
    wins: Wins
    exhausted: list[tuple[Offer, str]]


async def record(services: Services, activities: Sequence[MemberActivity]) -> Answers:
    """Answers each activity, in order, with its credits or a Refusal.

    The refusal is Unavailable when a service was away before there was an answer. Nothing was promised then:
    sending the activity again neither loses nor doubles it.
    """
    answers = await in_parts(activities, partial(_record, services))
    closed = [n for n, answer in enumerate(answers) if isinstance(answer, AccountClosed)]
    if closed:
        # A member of the batch was just merged or erased, so none of the batch was accepted.
        await services.members.refresh(services.db)
        again = await in_parts([activities[n] for n in closed], partial(_record, services))
        for n, answer in zip(closed, again, strict=True):
            answers[n] = answer
    services.metrics.ledger.recorded(_outcomes(services, activities, answers))
    return answers


def _outcomes(
    services: Services, activities: Sequence[MemberActivity], answers: Answers
) -> Counter[tuple[str, str, str]]:
    """Count answers by program, activity and outcome."""
    counts = Counter(
        (activity.program_id, type(activity.activity), _outcome(answer))
        for activity, answer in zip(activities, answers, strict=True)
    )
    # Whoever signs tokens can name any program.
    known = {program_id for program_id, _, _ in counts if services.programs.versions(program_id)}
    return Counter(
        {
            (program_id if program_id in known else OTHER, str(kind.__struct_config__.tag), outcome): count
            for (program_id, kind, outcome), count in counts.items()
        }
    )


def _outcome(answer: RecordedActivity | Refusal) -> str:
    if isinstance(answer, Refusal):
        return str(answer.code)
    return "repeated" if answer.repeated else "accepted"


async def _record(services: Services, activities: Sequence[MemberActivity]) -> Answers:
    unavailable = Unavailable("valkey")
    decisions = Decisions()
    attempts: list[Attempt | Refusal] = []
    try:
        members = await services.members.find(services.db, [activity.key for activity in activities])
        attempts = await _prepare(services, activities, members, decisions)
        await _run_rounds(services, not_refused(attempts))
    except Unavailable as error:
        unavailable = error
    if not attempts:
        return [unavailable] * len(activities)
    for attempt in not_refused(attempts):
        if attempt.answer is None and attempt.credits:
            attempt.finish()
    return [
        attempt if isinstance(attempt, Refusal) else attempt.answer or unavailable for attempt in attempts
    ]


async def _prepare(
    services: Services,
    activities: Sequence[MemberActivity],
    members: Mapping[MemberKey, Member],
    decisions: Decisions,
) -> list[Attempt | Refusal]:
    """Raises Unavailable."""
    placed = decide_each(activities, lambda each: acting(services, each, members.get(each.key)))
    terms = iter(await terms_of(services, services.db, not_refused(placed), now=services.clock.now()))
    acts = [
        by if isinstance(by, Refusal) else (activity, by, next(terms))
        for activity, by in zip(activities, placed, strict=True)
    ]
    return decide_each(acts, lambda act: prepare(*act, decisions))


async def _run_rounds(services: Services, attempts: list[Attempt]) -> None:
    in_vain, of_a_reference = 0, 1
    while attempts and in_vain < ROUNDS:
        claiming, repeats = split_repeats(attempts, of_a_reference)
        known_until = services.primary.changes
        granted, unsure = await _claim(services, claiming)
        granted, late = one_of_each(granted)
        if late:
            await _return_slots(services, [attempt for attempt, _ in late])
            repeats += late
        unsure += await _accept(services, granted, known_until)
        if unsure:
            await _reload(services, unsure)
        if repeats:
            await answer_with_others(services, repeats)
            of_a_reference *= 2
        still_open = [attempt for attempt in attempts if attempt.answer is None]
        in_vain = in_vain + 1 if len(still_open) == len(attempts) else 0
        attempts = still_open


async def _return_slots(services: Services, attempts: Sequence[Attempt]) -> None:
    """Returns the slots that were granted to attempts which do not use them in this round."""
    await services.gate.undo([attempt.request(slot) for attempt in attempts for slot in attempt.open_slots])
    for attempt in attempts:
        attempt.grants = []


async def _claim(services: Services, attempts: list[Attempt]) -> tuple[list[Attempt], list[Attempt]]:
    """Claims slots from the gate. Returns (granted, unsure); the attempts that are refused are answered."""
    wanted = [(attempt, attempt.claims()) for attempt in attempts]
    requests = [attempt.request(slot) for attempt, slots in wanted for slot in slots]
    with tracing.span("gate", count=len(requests)):
        results = iter(await services.gate.claim(requests))
    granted: list[Attempt] = []
    unsure: list[Attempt] = []
    refused: list[Attempt] = []
    for attempt, slots in wanted:
        claimed = [(slot, next(results)) for slot in slots]
        if any(claim.status == ClaimStatus.AWAY for _, claim in claimed):
            _close_away(attempt)
        elif attempt.take(claimed):
            (granted if attempt.grants else refused).append(attempt)
        else:
            unsure.append(attempt)
    await answer_repeats(services, refused)
    await _recall_once(services, [attempt for attempt in refused if attempt.answer is None])
    for attempt in refused:
        if attempt.answer is None:
            attempt.finish()
    return granted, unsure


def _close_away(attempt: Attempt) -> None:
    """Answers an attempt whose part of the gate is away, with the credits of earlier rounds if any."""
    if attempt.credits:
        attempt.finish()
    else:
        attempt.answer = Unavailable("valkey")


async def _recall_once(services: Services, refused: list[Attempt]) -> None:
    """Names what has paid for ever before a window that is full today: the gate forgets the former."""
    keys = [
        ((*attempt.member.key, slot.source_key(1)), attempt)
        for attempt in refused
        if attempt.taken and isinstance(slot := attempt.slots[0], OnceSlot)
    ]
    if not keys:
        return
    async with one_statement(services.db) as conn:
        used = await read_used_keys(conn, [key for key, _ in keys])
    for key, attempt in keys:
        if key in used:
            attempt.taken = []


async def _accept(services: Services, granted: list[Attempt], known_until: int) -> list[Attempt]:
    """Answers the attempts whose credits the database accepts; returns those whose slots were in use.

    Raises Unavailable where the gate granted them before the last failover, of which it may have known more
    than the database does now.
    """
    if not granted:
        return []
    await _look_for_farming(services, granted)
    credits = [credit for attempt in granted for credit in attempt.decided()]
    await services.shared_decisions.share(credits)
    # An answer under a key is committed with its credits, and so is the place where an activity and its
    # confirmation meet, and why points are held. All others need one statement and no transaction.
    has_keys = any(attempt.keyed is not None for attempt in granted)
    waits = any(attempt.waits for attempt in granted)
    holds = any(attempt.suspicion is not None for attempt in granted)
    at_once = not (has_keys or waits or holds)
    try:
        posted = await _post(services, granted, known_until, waits, autocommit=at_once)
    except NeedsTransaction:
        posted = await _post(services, granted, known_until, waits, autocommit=False)
    for offer, accepted in posted.wins:
        offer.attempt.win(offer.grant, accepted)
    await _close_exhausted(services, posted.exhausted)
    await _refuse_repeats(services, granted, posted.claimed)
    lost = []
    for attempt in not_refused(posted.claimed):
        if all(grant.slot.rule_id in attempt.closed_rules for grant in attempt.grants):
            attempt.finish()
        else:
            lost.append(attempt)
    return await _resolve_lost(services, lost) if lost else []


async def _look_for_farming(services: Services, granted: Sequence[Attempt]) -> None:
    """Raises Unavailable."""
    protected = [attempt for attempt in granted if attempt.program.protection and attempt.origin]
    if not protected:
        return
    found = await suspicions_of(services, [attempt.observed() for attempt in protected])
    for attempt, suspicion in zip(protected, found, strict=True):
        attempt.suspicion = suspicion


async def _post(
    services: Services, granted: Sequence[Attempt], known_until: int, waits: bool, *, autocommit: bool
) -> Posted:
    """Posts the credits of attempts, of which some may wait for a confirmation. Raises NeedsTransaction."""
    async with open_posting(services, cause="pending", autocommit=autocommit) as posting:
        services.primary.check(known_until)
        claimed = await claim_each(posting.conn, granted, lambda attempt: attempt.key_to_claim)
        offers = [offer for attempt in not_refused(claimed) for offer in attempt.offers()]
        if waits:
            offers = await _with_confirmations(services, posting, offers)
        with tracing.span("ledger", count=len(offers)):
            ids = await posting.accept(
                [credit for offer in offers for credit in offer.credits], now=services.clock.now()
            )
        wins = [
            (offer, accepted)
            for offer in offers
            if (
                accepted := [
                    row
                    for credit in offer.credits
                    if credit.id in ids
                    for row in (credit, *posting.boosted.get(credit.id, ()))
                ]
            )
        ]
        for offer, _ in wins:
            posting.confirm(offer.attempt.confirmation(offer.grant), offer.grant.number)
            for place in offer.grant.further:
                posting.confirm(offer.attempt.request(place.slot), place.number)
        await keep_each(posting.conn, _answers(wins))
    exhausted = [
        (offer, campaign) for offer in offers if (campaign := offer.exhausted(posting.exhausted)) is not None
    ]
    return Posted(claimed, wins, exhausted)


async def _with_confirmations(services: Services, posting: Posting, offers: list[Offer]) -> list[Offer]:
    """The offers, due at once where the shop has confirmed the activity before it came."""
    rows = await with_confirmations(
        services, posting.conn, [credit for offer in offers for credit in offer.credits]
    )
    found = iter(rows)
    return [replace(offer, credits=[next(found) for _ in offer.credits]) for offer in offers]


def _answers(
    wins: Wins,
) -> list[tuple[Keyed[RecordedActivity], RecordedActivity]]:
    """The answers under the keys of attempts that win, as they will be after the commit."""
    after: dict[int, Attempt] = {}
    for offer, accepted in wins:
        attempt = offer.attempt
        if attempt.keyed is not None:
            after.setdefault(id(attempt), attempt.copy()).win(offer.grant, accepted)
    return [(won.keyed, won.recorded()) for won in after.values() if won.keyed is not None]


async def _refuse_repeats(
    services: Services, granted: Sequence[Attempt], claimed: Sequence[Attempt | Refusal]
) -> None:
    """Refuses attempts whose key belongs to another request that is under way, and returns their slots."""
    slots = []
    for attempt, answer in zip(granted, claimed, strict=True):
        if isinstance(answer, Refusal):
            attempt.answer = answer
            slots += [attempt.request(slot) for slot in attempt.open_slots]
    if slots:
        await services.gate.undo(slots)


async def _close_exhausted(services: Services, exhausted: Sequence[tuple[Offer, str]]) -> None:
    """Closes rules that campaigns cannot pay, and returns their slots."""
    for offer, campaign in exhausted:
        offer.attempt.close_exhausted(offer.grant, campaign)
    if exhausted:
        await services.gate.undo([offer.attempt.request(offer.grant.slot) for offer, _ in exhausted])


async def _resolve_lost(services: Services, lost: list[Attempt]) -> list[Attempt]:
    """Answers the attempts for which the database has no slot; returns those that may find another one."""
    await answer_repeats(services, lost)
    await _close_lost_rules(services, lost)
    again = []
    for attempt in lost:
        if attempt.answer is not None:
            await services.gate.undo([attempt.request(slot) for slot in attempt.open_slots])
        elif attempt.open_slots:
            attempt.late = {}
            again.append(attempt)
        else:
            attempt.finish()
    return again


async def _close_lost_rules(services: Services, lost: list[Attempt]) -> None:
    """Closes rules that have nothing to pay for these attempts, and corrects the gate.

    A used slot that there is once stays used. When all slots of a grant are free in the database and yet were
    not accepted, its rule has paid for this activity under other slots.
    """
    grants = [
        (attempt, grant, (*attempt.member.key, grant.slot.source_key(grant.number)))
        for attempt in lost
        for grant in attempt.grants
        if grant.slot.rule_id not in attempt.closed_rules and not isinstance(grant.slot, StreakSlot)
    ]
    if not grants:
        return
    windows = [query_of(a.member.key, place.slot) for a, grant, _ in grants for place in grant.further]
    async with transaction(services.db) as conn:
        used = await read_used_keys(conn, [key for _, _, key in grants])
        numbers = await read_used_slots(conn, windows)
    free = [
        (attempt, grant)
        for attempt, grant, key in grants
        if key not in used
        and not any(
            place.number in numbers.get(query_of(attempt.member.key, place.slot), ())
            for place in grant.further
        )
    ]
    once = [(attempt, g) for attempt, g, key in grants if key in used and isinstance(g.slot, OnceSlot)]
    await services.gate.confirm([(attempt.request(grant.slot), grant.number) for attempt, grant in once])
    # Of a slot that is used for ever, what was claimed of further limits is free again.
    places = [attempt.request(place.slot) for attempt, grant in once for place in grant.further]
    await services.gate.undo([*(attempt.request(grant.slot) for attempt, grant in free), *places])
    for attempt, grant in [*free, *once]:
        attempt.closed_rules.add(grant.slot.rule_id)


async def _reload(services: Services, unsure: list[Attempt]) -> None:
    """Loads the gate from the database with the members that it is unsure of."""
    await services.gate.undo(
        [attempt.request(slot) for attempt in unsure if not attempt.is_absent for slot in attempt.open_slots]
    )
    members: dict[MemberKey, tuple[Member, datetime]] = {}
    for attempt in sorted(unsure, key=lambda attempt: attempt.at, reverse=True):
        members[attempt.member.key] = (attempt.member, attempt.at)
    async with one_statement(services.db) as conn:
        streaks = await load_gate(services, conn, list(members.values()))
        late: dict[StreakKey, list[Attempt]] = {}
        for attempt in unsure:
            attempt.want_again(streaks)
            attempt.late = {}
            slot = attempt.streak_slot
            if slot is None or slot.rule_id in attempt.closed_rules:
                continue
            key = StreakKey(*attempt.member.key, slot.rule_id)
            if key in streaks and is_late(slot, streaks[key]):
                late.setdefault(key, []).append(attempt)
        histories = await read_histories(conn, list(late)) if late else {}
    for key, history in histories.items():
        await _decide_late(services, late[key], key, history)


async def _decide_late(
    services: Services, attempts: list[Attempt], key: StreakKey, history: list[RecordedEvent]
) -> None:
    """Decides activities that are no newer than the newest event of their streak."""
    events = await with_terms(services, key.program_id, key.rule_id, history)
    for attempt in attempts:
        slot = attempt.streak_slot
        assert slot is not None
        versions = services.programs.versions(key.program_id)
        since = introduction(versions, key.rule_id, country=attempt.member.country)
        attempt.late[key.rule_id] = late_day(slot, attempt.zone, events, seq_of(history), since)
