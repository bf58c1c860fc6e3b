"""Activities of one reference: the shop sends one again that was recorded before, or several at once."""

from collections.abc import Sequence

from engage.domain.earning.limits import WindowSlot
from engage.domain.earning.limits.per_window import tightest
from engage.domain.earning.slots import refused
from engage.domain.keys import ReferenceKey
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.activity import CreditView, RecordedActivity
from engage.flows.activities.attempt import Attempt
from engage.ledger.credits import ReferencedCredit, read_by_reference
from engage.ledger.used_slots import WindowQuery, query_of, read_used_slots
from engage.runtime.database import transaction
from engage.runtime.idempotency import claim_each, keep_each
from engage.runtime.services import Services

# An activity that waits for the outcome of others under its reference, and those.
Repeat = tuple[Attempt, list[Attempt]]


def split_repeats(attempts: Sequence[Attempt], most: int) -> tuple[list[Attempt], list[Repeat]]:
    """(those that claim slots, those that wait for others under their reference)

    Activities of one reference earn once, so one of them claims, and its outcome is that of all. If all
    claimed, they would use up the slots that they are then refused for. Where different ones are refused one
    after the other, `most` of them claim at once, so that the rest of a batch does not wait for long.
    """
    by_reference: dict[ReferenceKey, list[Attempt]] = {}
    first, further, repeats = [], [], []
    for attempt in attempts:
        reference = attempt.reference
        claiming = [] if reference is None else by_reference.setdefault(reference, [])
        if not claiming:
            first.append(attempt)
        elif len(claiming) < most and all(attempt.slots != other.slots for other in claiming):
            further.append(attempt)
        else:
            repeats.append((attempt, claiming))
            continue
        claiming.append(attempt)
    return [*first, *further], repeats


def one_of_each(granted: Sequence[Attempt]) -> tuple[list[Attempt], list[Repeat]]:
    """(the first of each reference, the others, which wait for it)"""
    by_reference: dict[ReferenceKey, Attempt] = {}
    chosen, repeats = [], []
    for attempt in granted:
        reference = attempt.reference
        first = attempt if reference is None else by_reference.setdefault(reference, attempt)
        if first is attempt:
            chosen.append(attempt)
        else:
            repeats.append((attempt, [first]))
    return chosen, repeats


async def answer_with_others(services: Services, repeats: Sequence[Repeat]) -> None:
    """Answers repeats if the others under their reference have an answer. A refusal by a limit holds for
    those that want the same slots; that another one's key is in flight says nothing of them.

    Raises Unavailable.
    """
    await answer_repeats(
        services,
        [
            repeat
            for repeat, others in repeats
            if any(isinstance(other.answer, RecordedActivity) for other in others)
        ],
    )
    for repeat, others in repeats:
        for other in others:
            refusal = other.answer
            if not isinstance(refusal, Refusal) or refusal.code == Code.REQUEST_IN_FLIGHT:
                continue
            if repeat.answer is None and repeat.slots == other.slots:
                repeat.answer = refusal


async def answer_repeats(services: Services, attempts: Sequence[Attempt]) -> None:
    """Answers the activities that were recorded before: with their credits, or that they were removed.

    An answer under a key is kept: the limits in it change. Raises Unavailable.
    """
    named = [
        (attempt, reference)
        for attempt in attempts
        if not attempt.credits and (reference := attempt.reference) is not None
    ]
    if not named:
        return
    async with transaction(services.db) as conn:
        found = await read_by_reference(conn, [reference for _, reference in named])
        repeats = [(attempt, found[reference]) for attempt, reference in named if reference in found]
        claimed = await claim_each(conn, repeats, lambda repeat: repeat[0].keyed)
        used = await read_used_slots(
            conn, [query for attempt, _ in repeats for query in _windows_of(attempt)]
        )
        answers = [repeat if isinstance(repeat, Refusal) else _repeat(*repeat, used) for repeat in claimed]
        await keep_each(conn, zip((attempt.keyed for attempt, _ in repeats), answers, strict=True))
    for (attempt, _), answer in zip(repeats, answers, strict=True):
        attempt.answer = answer


def _windows_of(attempt: Attempt) -> dict[WindowQuery, WindowSlot]:
    """The windows of the first slot, if its own limit is one."""
    slot = attempt.slots[0]
    if not isinstance(slot, WindowSlot):
        return {}
    return {query_of(attempt.member.key, window): window for window in (slot, *slot.further)}


def _repeat(
    attempt: Attempt, credits: list[ReferencedCredit], used: dict[WindowQuery, list[int]]
) -> RecordedActivity | Refusal:
    slot, windows = attempt.slots[0], _windows_of(attempt)
    if all(referenced.removed for referenced in credits):
        return Refusal(Code.ACTIVITY_REMOVED)
    if not windows:
        return refused(attempt.terms, slot)
    views = [
        CreditView(
            credit.id,
            credit.rule,
            credit.points,
            credit.state,
            credit.due_at,
            credit.lapses_at,
            credit.why,
            credit.unit,
            credit.boost,
            credit.campaign,
        )
        for credit in (referenced.credit for referenced in credits if not referenced.removed)
    ]
    limits = [window.view(used.get(query, [])) for query, window in windows.items()]
    return RecordedActivity(views, limit=tightest(limits), repeated=True)
