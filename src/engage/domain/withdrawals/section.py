"""The section `withdrawal` of a document."""

from collections.abc import Iterator
from typing import Protocol

from engage.domain.document.errors import Problem
from engage.domain.document.worth import Worth
from engage.domain.feature.section import Context, Section
from engage.domain.simulation.member import SimulatedMember
from engage.domain.withdrawals import validation
from engage.domain.withdrawals.definition import WithdrawalTerms
from engage.domain.withdrawals.simulated import SimulatedWithdrawals


class WithdrawalDocument(Protocol):
    """The fields that this section reads."""

    @property
    def withdrawal(self) -> WithdrawalTerms | None: ...
    @property
    def worth(self) -> Worth | None: ...


def _problems(document: WithdrawalDocument, context: Context) -> Iterator[Problem]:
    if document.withdrawal is not None:
        yield from validation.problems(document.withdrawal, context.worth)


def _simulate(member: SimulatedMember, document: WithdrawalDocument) -> SimulatedWithdrawals:
    return SimulatedWithdrawals(member, document.withdrawal, document.worth)


WITHDRAWALS: Section[WithdrawalDocument] = Section(problems=_problems, simulate=_simulate)
