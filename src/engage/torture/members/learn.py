"""Note in `Knowledge` what an answer says."""

from collections.abc import Callable
from typing import Any

from engage.torture.members.actions import Action
from engage.torture.members.client import Answer
from engage.torture.members.knowledge import Knowledge


def learn(known: Knowledge, action: Action, answer: Answer | None) -> None:
    """An answer that was lost, and a refusal, say nothing that a later choice needs."""
    if answer is not None and answer.is_done and (note := _NOTES.get(action.operation)) is not None:
        note(known, action, answer.body)


def _hold(known: Knowledge, action: Action, body: Any) -> None:
    known.holds[body["hold_id"]] = {"order_id": body["order_id"], "lines": action.body["lines"]}


def _withdrawal(known: Knowledge, _: Action, body: Any) -> None:
    known.withdrawals.append(body["id"])


def _attempt(known: Knowledge, _: Action, body: Any) -> None:
    known.attempts[body["attempt_id"]] = body["questions"]


def _code(known: Knowledge, _: Action, body: Any) -> None:
    known.codes.add(body["code"])


_NOTES: dict[str, Callable[[Knowledge, Action, Any], None]] = {
    "holdPoints": _hold,
    "createWithdrawal": _withdrawal,
    "startQuiz": _attempt,
    "getReferral": _code,
}
