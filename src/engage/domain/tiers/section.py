"""The section `tier_groups` of a program's document."""

from collections.abc import Sequence
from typing import Protocol

from engage.domain.feature.section import Section
from engage.domain.tiers.definition import TierGroup
from engage.domain.tiers.simulated import SimulatedTiers
from engage.domain.tiers.validation import tier_problems


class TiersDocument(Protocol):
    """The fields of a document that the section reads."""

    @property
    def tier_groups(self) -> Sequence[TierGroup]: ...


TIERS: Section[TiersDocument] = Section(
    problems=lambda document, context: tier_problems(document.tier_groups, context),
    ids=lambda document: {"tier_groups": [group.id for group in document.tier_groups]},
    has_amounts=lambda document: any(group.metric == "spend_minor" for group in document.tier_groups),
    reacts=lambda document: bool(document.tier_groups),
    simulate=lambda member, document: SimulatedTiers(member, document.tier_groups),
)
