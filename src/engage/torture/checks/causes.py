"""No credit without a request, or a cause in the rules, that explains it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from engage.torture.checks.answers import EARNING, ONE_ACTION
from engage.torture.checks.books import Credit
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.exchanges import Exchange, Wish

CAUSE: Final = "no credit without a cause"

# Activities that members report, and the field of the request that says which one it is.
_REPORTED: Final = {"fuel_tap": None, "share": "share_id", "review": "review_id", "visit": "page"}
_OPERATIONS: Final = dict(zip(_REPORTED, EARNING, strict=True))

# Activities that the shop reports, by the type of the event and the field that names them.
_EVENTS: Final = {"order": ("order.paid", "order_id"), "app_sign_in": ("app.signed_in", None)}

# What the rules themselves bring about. Their own checks look at them.
FOLLOWING: Final = (
    "challenge:",
    "game:",
    "quiz:",
    "draw:",
    "referral:",
    "leaderboard:",
    "adjustment",
    "tier:",
)


def credits_have_causes(evidence: Evidence) -> Iterator[Broken]:
    """A credit that no answer named comes from an event of the shop, follows from another one, or from a
    request whose answer was lost: one activity a request.
    """
    named = {
        credit["id"]
        for wish in evidence.wishes(*EARNING)
        for answer in wish.answers
        for credit in answer["credits"]
    }
    lost = Counter(_lost(evidence))
    events = {_event_key(event) for exchange in evidence.of("sendEvents") for event in _not_refused(exchange)}
    activities = {}
    for credit in evidence.books.credits:
        # A credit of no points stands for a removal that came before its activity.
        if str(credit.id) in named or not credit.points or credit.member_id in evidence.books.closed:
            continue
        if credit.boost is not None:  # It is beside another one, which has a cause.
            continue
        kind = credit.activity.get("activity")
        if kind in _REPORTED:
            activities[_instance(credit)] = credit
        elif kind in _EVENTS:
            if _credit_event(credit) not in events:
                yield Broken(CAUSE, (), f"{_line(credit)}: the shop reported nothing of this")
        elif kind != "registration" and not credit.rule_id.startswith(FOLLOWING):
            yield Broken(CAUSE, (), f"{_line(credit)}: a cause that nobody knows")
    for credit in activities.values():
        key = _activity_key(credit)
        lost[key] -= 1
        if lost[key] < 0:
            yield Broken(CAUSE, (), f"{_line(credit)}: no request that was answered, or lost, explains it")


def refusals_earn_nothing(evidence: Evidence) -> Iterator[Broken]:
    """An activity whose every request was refused has earned nothing. Only those with a name of their own."""
    for operation, field in (("recordShare", "share_id"), ("recordReview", "review_id")):
        wishes: dict[tuple[str, str], list[Wish]] = {}
        for wish in evidence.wishes(operation):
            wishes.setdefault((wish.sent.member, wish.sent.body[field]), []).append(wish)
        earned = {
            (credit.member_id, credit.activity.get(field))
            for credit in evidence.books.credits
            if credit.points
        }
        for key, sent in wishes.items():
            if all(wish.outcome == "refused" for wish in sent) and key in earned:
                ids = tuple(id_ for wish in sent for id_ in wish.ids)
                yield Broken(ONE_ACTION, ids, f"{key}: refused, and earned points all the same")


def _lost(evidence: Evidence) -> Iterator[tuple[str, str, str]]:
    for kind, field in _REPORTED.items():
        for wish in evidence.wishes(_OPERATIONS[kind]):
            if wish.outcome == "unknown":
                yield wish.sent.member, kind, wish.sent.body[field] if field else ""


def _activity_key(credit: Credit) -> tuple[str, str, str]:
    kind = credit.activity["activity"]
    field = _REPORTED[kind]
    return credit.member_id, kind, str(credit.activity[field]) if field else ""


def _instance(credit: Credit) -> tuple[Any, ...]:
    """Credits of one activity happened at one instant."""
    return *_activity_key(credit), credit.activity_at


def _not_refused(exchange: Exchange) -> list[dict[str, Any]]:
    """The events of a batch that were accepted, or may have been."""
    sent: list[dict[str, Any]] = exchange.sent.body
    if exchange.outcome == "refused":
        return []
    if exchange.outcome == "unknown":
        return sent
    refused = {each["index"] for each in exchange.answer["refused"]}
    return [event for index, event in enumerate(sent) if index not in refused]


def _event_key(event: dict[str, Any]) -> tuple[str, str, str]:
    fields = dict(_EVENTS.values())
    field = fields.get(event["type"])
    return event["member_id"], event["type"], event["data"][field] if field else ""


def _credit_event(credit: Credit) -> tuple[str, str, str]:
    kind, field = _EVENTS[credit.activity["activity"]]
    return credit.member_id, kind, str(credit.activity[field]) if field else ""


def _line(credit: Credit) -> str:
    return f"{credit.member_id}: {credit.points} points of {credit.rule_id} ({credit.source_key})"
