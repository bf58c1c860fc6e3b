"""Note in `Knowledge` what an answer says."""

from collections.abc import Callable, Iterable
from typing import Any

from engage.torture.members.actions import Action
from engage.torture.members.client import Answer
from engage.torture.members.knowledge import Knowledge


def learn(known: Knowledge, action: Action, answer: Answer | None) -> None:
    """An answer that was lost, and a refusal, say nothing that a later choice needs."""
    if answer is not None and answer.is_done and (note := _NOTES.get(action.operation)) is not None:
        note(known, action, answer.body)


def _home(known: Knowledge, _: Action, body: Any) -> None:
    known.active = body["balance"]["active"]


def _credits(known: Knowledge, _: Action, body: Any) -> None:
    known.credit_ids += (credit["id"] for credit in body["credits"])


def _ids(items: Iterable[Any]) -> list[str]:
    return [item["id"] for item in items]


_NOTES: dict[str, Callable[[Knowledge, Action, Any], None]] = {
    "getHome": _home,
    "recordFuelTap": _credits,
    "recordShare": _credits,
    "recordReview": _credits,
    "recordVisit": _credits,
}
