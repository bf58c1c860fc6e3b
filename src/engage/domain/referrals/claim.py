"""The claim of a friend: that a member has invited them, whose code they have."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from msgspec import Struct

from engage.domain import calendar
from engage.domain.keys import referral_rule
from engage.domain.referrals.definition import ReferralTerms
from engage.domain.referrals.referral import Flag, Trait
from engage.domain.refusals import Code, Refusal
from engage.domain.refusals.refusal import FactValue

# Traits that only one person has. An address is flagged: people live together.
OF_ONE_PERSON: Final[frozenset[Trait]] = frozenset({"person", "phone", "card", "device"})


class ClaimFacts(Struct, frozen=True, kw_only=True):
    """The facts about a friend and an advocate, when the code is used.

    `in_circle`: the friend has referred the advocate, or whoever referred the advocate, and so on.
    `is_survivor`: another account was merged into the friend's. `has_delivery`: an order of the friend was
    delivered. `used`: the advocate's friends within the limit's window, without those rejected.
    """

    is_referred: bool
    is_one_member: bool
    in_circle: bool
    is_survivor: bool
    has_delivery: bool
    joined_at: datetime
    used: int
    shared: Collection[Trait]


def counts_since(terms: ReferralTerms, *, at: datetime, zone: str) -> datetime | None:
    """The time since when friends count towards the limit; None is since ever. `zone` is the advocate's."""
    return None if terms.limit is None else calendar.period(terms.limit.window, at, zone).start


def check_claim(
    terms: ReferralTerms, facts: ClaimFacts, *, version: str, at: datetime, zone: str
) -> list[Flag]:
    """Return what an operator should look at. `zone` is the advocate's.

    Raises Refusal already_referred, self_referral, circular_referral, too_late or limit_reached.
    """
    if facts.is_referred:
        raise Refusal(Code.ALREADY_REFERRED)
    if facts.is_one_member or not OF_ONE_PERSON.isdisjoint(facts.shared):
        raise Refusal(Code.SELF_REFERRAL)
    if facts.in_circle:
        raise Refusal(Code.CIRCULAR_REFERRAL)
    check_in_time(terms, joined_at=facts.joined_at, has_delivery=facts.has_delivery, at=at)
    check_limit(terms, facts.used, version=version, at=at, zone=zone)
    flags: list[Flag] = [*sorted(facts.shared)]
    return [*flags, "merged"] if facts.is_survivor else flags


def check_in_time(terms: ReferralTerms, *, joined_at: datetime, has_delivery: bool, at: datetime) -> None:
    """Raises Refusal too_late where a friend has come without the advocate: long ago, or for an order of
    before.
    """
    is_old = terms.account_age_max is not None and at > joined_at + terms.account_age_max
    if is_old or (terms.pays_for_orders and has_delivery):
        raise Refusal(Code.TOO_LATE)


def check_limit(terms: ReferralTerms, used: int, *, version: str, at: datetime, zone: str) -> None:
    """Raises Refusal limit_reached where an advocate has enough friends. `zone` is the advocate's."""
    limit = terms.limit
    if limit is None or used < limit.count:
        return
    facts: dict[str, FactValue] = {
        "limit": limit.count,
        "rule": referral_rule("advocate"),
        "version": version,
        "zone": zone,
    }
    resets_at = calendar.period(limit.window, at, zone).end
    if resets_at is not None:
        facts |= {"window": limit.window, "resets_at": resets_at}
    raise Refusal(Code.LIMIT_REACHED, **facts)
