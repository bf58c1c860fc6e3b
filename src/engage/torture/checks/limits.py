"""Limits, budgets and stock hold, counted from outside by the rules of the members' document."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence

LIMIT: Final = "limits, budgets and stock hold"


class Used(Struct, frozen=True):
    """One use of a limit: by whom, of what, when. `points` of it."""

    member_id: str
    of: str
    at: datetime
    points: int = 1


class Limit(Struct, frozen=True):
    """At most `most` of `of` in each window: a day or a month of the member, or ever; by member or by all."""

    of: str
    most: int
    window: str = "ever"
    by_member: bool = True


LIMITS: Final = (
    Limit("registration", 1),
    Limit("app_sign_in", 1),
    Limit("fuel", 1, "day"),
    Limit("browse", 1, "day"),
    Limit("share_social", 3, "day"),
    Limit("share_link", 4, "month"),
    Limit("play", 2, "day"),
    Limit("attempt", 2, "day"),
    Limit("withdrawal", 2, "day"),
    Limit("withdrawn", 60, "day"),
    Limit("scarce", 2),
    Limit("scarce", 12, by_member=False),
    Limit("first", 1),
    Limit("first", 6, by_member=False),
    Limit("prize:points", 25, by_member=False),
    Limit("prize:coupon", 8, by_member=False),
    Limit("invited", 3, "month"),
)


def limits_hold(evidence: Evidence) -> Iterator[Broken]:
    """No window has more of anything than its limit. Members who were merged have the uses of two."""
    used = [each for each in _uses(evidence) if each.member_id not in evidence.books.closed]
    yield from over(used, evidence.zones, LIMITS)
    keys = Counter((credit.member_id, credit.source_key) for credit in evidence.books.credits)
    for (member, key), count in keys.items():
        if count > 1:
            yield Broken(LIMIT, (), f"{member}: {count} credits of {key}")


def over(used: Iterable[Used], zones: dict[str, str], limits: Iterable[Limit]) -> Iterator[Broken]:
    """Windows with more uses than their limit."""
    used = list(used)
    for limit in limits:
        counts: Counter[tuple[str, str]] = Counter()
        for each in used:
            if each.of == limit.of:
                member = each.member_id if limit.by_member else "all"
                counts[member, _window(limit, each, zones)] += each.points
        for (member, window), count in counts.items():
            if count > limit.most:
                text = f"{member}: {count} of {limit.of} in {window or 'all'}, and the limit is {limit.most}"
                yield Broken(LIMIT, (), text)


def _window(limit: Limit, used: Used, zones: dict[str, str]) -> str:
    local = used.at.astimezone(ZoneInfo(zones[used.member_id]))
    return {"ever": "", "day": f"{local:%Y-%m-%d}", "month": f"{local:%Y-%m}"}[limit.window]


def _uses(evidence: Evidence) -> Iterator[Used]:
    books = evidence.books
    for credit in books.credits:
        # Slots of windows and days. One that was taken back frees nothing.
        if credit.points and credit.boost is None:
            yield Used(credit.member_id, credit.rule_id, credit.activity_at)
    for play in books.game_plays:
        yield Used(play.member_id, "play", play.at)
        if play.prize is not None:
            yield Used(play.member_id, f"prize:{play.prize}", play.at)
    for attempt in books.quiz_attempts:
        yield Used(attempt.member_id, "attempt", attempt.started_at)
    for withdrawal in books.withdrawals:
        if withdrawal.state != "failed":
            yield Used(withdrawal.member_id, "withdrawal", withdrawal.requested_at)
            yield Used(withdrawal.member_id, "withdrawn", withdrawal.requested_at, withdrawal.points)
    for coupon in books.coupons:
        if coupon.points:
            yield Used(coupon.member_id, coupon.reward_id, coupon.issued_at)
    for referral in books.referrals:
        if referral.state == "approved":
            yield Used(referral.advocate_id, "invited", referral.claimed_at)


def limits_of(answer: Any) -> dict[str, int]:
    """The rests of the limits on a home screen, by rule."""
    return {limit["rule"]: limit["remaining"] for limit in answer["limits"]}
