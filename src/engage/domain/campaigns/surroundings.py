"""The rest of a program, as far as the document of a campaign depends on it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct, field

from engage.domain.campaigns.composition import context_of
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.zones import country_zones
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.feature.section import Context
from engage.domain.program import versions
from engage.domain.program.program import Program


class Surroundings(Struct, frozen=True, dict=True):
    """`programs` are all versions of the program, the oldest first. `campaigns` are other campaigns, in all
    their versions; `earlier` the approved versions of this one, by their names.

    `definitions` are the ids of definitions that operators added, by the plural of their kind. `segments` are
    the ids of those that there are; None where nobody knows.
    """

    programs: Sequence[Program]
    campaigns: Sequence[Campaign] = ()
    earlier: Mapping[str, Campaign] = field(default_factory=dict)
    definitions: Mapping[str, Collection[str]] = field(default_factory=dict)
    segments: Collection[str] | None = None

    @cached_property
    def zones(self) -> dict[str, str]:
        """The zone of each country of the program."""
        return country_zones(self.programs)

    @cached_property
    def rule_owners(self) -> dict[str, str]:
        """The ids of rules that are taken, and who has them."""
        return {
            **{rule.id: f"campaign {each.id}" for each in self.campaigns for rule in each.rules},
            **{rule.id: f"version {each.version}" for each in self.programs for rule in each.rules},
        }

    def definition_owners(self, kind: DefinitionKind[Any]) -> dict[str, str]:
        """The ids of definitions of a kind that are taken, and who has them."""
        return {
            **dict.fromkeys(self.definitions.get(kind.plural, ()), "an operator"),
            **{one.id: f"campaign {each.id}" for each in self.campaigns for one in kind.of(each)},
            **{one.id: f"version {each.version}" for each in self.programs for one in kind.of(each)},
        }

    def during(self, campaign: Campaign, countries: Iterable[str]) -> list[Program]:
        """The program versions in force at some time of a campaign in some of these countries, oldest first.
        Only for a campaign whose times and zone are valid.
        """
        found = {
            version.version
            for country in countries
            for version in versions.in_force_during(
                self.programs,
                country,
                campaign.begins_at(self.zones[country]),
                campaign.ends_at(self.zones[country]),
            )
        }
        return [version for version in self.programs if version.version in found]

    def context(self, campaign: Campaign, program: Program) -> Context:
        """The context of one version of the program, with the campaign's own parts and those of operators."""
        context = context_of(program, [campaign])
        added = {plural: [*context.ids.get(plural, ()), *ids] for plural, ids in self.definitions.items()}
        return Context(context.worth, {**context.ids, **added}, context.paying)
