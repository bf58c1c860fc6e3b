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
from engage.runtime.services import Services


def split_repeats(attempts: Sequence[Attempt]) -> tuple[list[Attempt], list[tuple[Attempt, Attempt]]]:
    """(those that claim slots, those that have another's reference with the first one that has it)

    Activities of one reference earn once, so one of them claims, and its outcome is that of all. If all
    claimed, they would use up the slots that they are then refused for.
    """
    by_reference: dict[ReferenceKey, Attempt] = {}
    claiming, repeats = [], []
    for attempt in attempts:
        reference = attempt.reference
        first = attempt if reference is None else by_reference.setdefault(reference, attempt)
        if first is attempt:
            claiming.append(attempt)
        else:
            repeats.append((attempt, first))
    return claiming, repeats


async def answer_with_first(services: Services, repeats: Sequence[tuple[Attempt, Attempt]]) -> None:
    """Answers repeats whose first activity has an answer. A refusal by a limit holds for those that want the
    same slots; that the first one's key is in flight says nothing of them.

    Raises Unavailable.
    """
    await answer_repeats(
        services, [repeat for repeat, first in repeats if isinstance(first.answer, RecordedActivity)]
    )
    for repeat, first in repeats:
        refusal = first.answer
        if not isinstance(refusal, Refusal) or refusal.code == Code.REQUEST_IN_FLIGHT:
            continue
        if repeat.slots == first.slots:
            repeat.answer = refusal


async def answer_repeats(services: Services, attempts: Sequence[Attempt]) -> None:
    """Answers the activities that were recorded before: with their credits, or that they were removed.

    Raises Unavailable.
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
        used = await read_used_slots(
            conn, [query for attempt, _ in repeats for query in _windows_of(attempt)]
        )
    for attempt, credits in repeats:
        attempt.answer = _repeat(attempt, credits, used)


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
        return refused(attempt.program.earning, slot)
    views = [
        CreditView(credit.id, credit.rule, credit.points, credit.state, credit.due_at, credit.lapses_at)
        for credit in (referenced.credit for referenced in credits if not referenced.removed)
    ]
    limits = [window.view(used.get(query, [])) for query, window in windows.items()]
    return RecordedActivity(views, limit=tightest(limits), repeated=True)
