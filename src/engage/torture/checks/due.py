"""Points are never active early, and not late for long."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from engage.torture.checks.answers import EARNING
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence

EARLY: Final = "never early"
LATE: Final = "active within a bounded time"

LAG: Final = timedelta(minutes=5)
# What clients know of the time is exact to this.
SLACK: Final = timedelta(seconds=2)


def never_early(evidence: Evidence) -> Iterator[Broken]:
    """No credit is active before the time that was promised, nor seen active before it can be that time."""
    for wish in evidence.wishes(*EARNING):
        for answer in wish.answers:
            for credit in answer["credits"]:
                row = evidence.credits_by_id.get((wish.sent.member, credit["id"]))
                if row is None or row.active_at is None or credit["due_at"] is None:
                    continue
                if row.active_at < datetime.fromisoformat(credit["due_at"]):
                    text = f"{row.rule_id} was promised for {credit['due_at']}, and active at {row.active_at}"
                    yield Broken(EARLY, wish.ids, text)
    for exchange in evidence.of("listCredits"):
        if exchange.is_done:
            latest = evidence.timeline.latest(exchange.ended) + SLACK
            for credit in exchange.answer["items"]:
                if credit["state"] == "active" and datetime.fromisoformat(credit["due_at"]) > latest:
                    text = f"{credit['rule']} is due at {credit['due_at']}, and active before {latest}"
                    yield Broken(EARLY, (exchange.id,), text)


def never_late(evidence: Evidence) -> Iterator[Broken]:
    """All that is due is active: at the end, and within a bounded time before."""
    for credit in evidence.books.credits:
        if credit.due_at is None or credit.member_id in evidence.books.closed:
            continue
        promised = evidence.timeline.after_jump(max(credit.due_at, credit.accepted_at), credit.accepted_at)
        active_at = credit.active_at or (evidence.books.now if credit.state == "pending" else promised)
        # A delivery that the shop reports late makes its points due in the past.
        is_late = credit.activity.get("activity") == "order" and credit.active_at is not None
        if not is_late and active_at > promised + LAG:
            what = f"{credit.member_id}: {credit.source_key}"
            text = f"{what} is due at {promised}, and was not active until {active_at}"
            yield Broken(LATE, (), text)
