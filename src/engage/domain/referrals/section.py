"""The section `referral` of a document."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from engage.domain.document.errors import Problem
from engage.domain.feature.section import Context, Section
from engage.domain.keys import referral_rule
from engage.domain.referrals import validation
from engage.domain.referrals.definition import SIDES, ReferralTerms
from engage.domain.referrals.simulated import SimulatedReferrals
from engage.domain.simulation.member import SimulatedMember


class ReferralDocument(Protocol):
    """The fields that this section reads."""

    @property
    def referral(self) -> ReferralTerms | None: ...


def _problems(document: ReferralDocument, context: Context) -> Iterator[Problem]:
    if document.referral is not None:
        yield from validation.problems(document.referral)


def _pays(document: ReferralDocument) -> Sequence[str]:
    terms = document.referral
    return [] if terms is None else [referral_rule(side) for side in SIDES if terms.reward(side)]


def _has_amounts(document: ReferralDocument) -> bool:
    return document.referral is not None and validation.has_amounts(document.referral)


def _simulate(member: SimulatedMember, document: ReferralDocument) -> SimulatedReferrals:
    return SimulatedReferrals(member, document.referral)


REFERRALS: Section[ReferralDocument] = Section(
    problems=_problems,
    pays=_pays,
    has_amounts=_has_amounts,
    reacts=lambda document: document.referral is not None,
    simulate=_simulate,
)
