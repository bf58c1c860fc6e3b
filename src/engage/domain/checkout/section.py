"""The section `checkout` of a document."""

from collections.abc import Iterator
from typing import Protocol

from engage.domain.checkout import validation
from engage.domain.checkout.definition import Checkout
from engage.domain.checkout.offers import CheckoutTerms
from engage.domain.checkout.simulated import SimulatedCheckout
from engage.domain.document.errors import Problem
from engage.domain.document.worth import Worth
from engage.domain.feature.section import Context, Section
from engage.domain.rewards.definition import Coupons
from engage.domain.simulation.member import SimulatedMember


class CheckoutDocument(Protocol):
    """The fields that this section reads."""

    @property
    def checkout(self) -> Checkout | None: ...
    @property
    def worth(self) -> Worth | None: ...
    @property
    def coupons(self) -> Coupons: ...


def _problems(document: CheckoutDocument, context: Context) -> Iterator[Problem]:
    if document.checkout is not None:
        yield from validation.problems(document.checkout, context.worth)


def _simulate(member: SimulatedMember, document: CheckoutDocument) -> SimulatedCheckout:
    terms = CheckoutTerms(document.checkout, document.worth, document.coupons, member.market)
    return SimulatedCheckout(member, terms)


CHECKOUT: Section[CheckoutDocument] = Section(problems=_problems, simulate=_simulate)
