"""The section `rewards` of a document."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from engage.domain.document.errors import Problem
from engage.domain.feature.section import Context, Section
from engage.domain.rewards import validation
from engage.domain.rewards.definition import AnyReward, CouponReward
from engage.domain.rewards.simulated import SimulatedRewards
from engage.domain.simulation.member import SimulatedMember


class RewardsDocument(Protocol):
    """The fields that this section reads."""

    @property
    def rewards(self) -> Sequence[AnyReward]: ...


def _problems(document: RewardsDocument, context: Context) -> Iterator[Problem]:
    return validation.problems(document.rewards)


def _conflicts(earlier: RewardsDocument, later: RewardsDocument, version: str) -> Iterator[Problem]:
    return validation.conflicts(earlier.rewards, later.rewards, version)


def _ids(document: RewardsDocument) -> dict[str, list[str]]:
    return {"rewards": [reward.id for reward in document.rewards]}


def _has_amounts(document: RewardsDocument) -> bool:
    return any(isinstance(reward, CouponReward) for reward in document.rewards)


def _simulate(member: SimulatedMember, document: RewardsDocument) -> SimulatedRewards:
    return SimulatedRewards(member, document.rewards)


REWARDS: Section[RewardsDocument] = Section(
    problems=_problems, conflicts=_conflicts, ids=_ids, has_amounts=_has_amounts, simulate=_simulate
)
