"""A program together with the rules and definitions that campaigns bring.

The terms of a program version with the rules of campaigns have a name, such as `2022+week#1`: what is decided
by them is stored with it, and found again by it. `2022+week#1!gift` are those of an order that the rule
`gift` does not pay, for which the campaign's budget had not enough.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.definitions.definition import Definition, Scheduled
from engage.domain.draws.definition import Draw
from engage.domain.earning.index import index_rules
from engage.domain.earning.terms import EarningTerms
from engage.domain.feature.section import Context
from engage.domain.program import sections
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program

# No version of a program, no campaign and no rule has such a name.
_WITH: Final = "+"
_NUMBERED: Final = "#"
_WITHOUT: Final = "!"

NO_RULES: Final[frozenset[str]] = frozenset()


class NamedTerms(Struct, frozen=True):
    """The parts of the name of terms: the program version, campaigns with their versions, and the rules of
    these that do not pay.
    """

    version: str
    campaigns: list[tuple[str, int]]
    unpaid: frozenset[str]


def terms_name(
    version: str, campaigns: Iterable[PublishedCampaign], unpaid: Collection[str] = NO_RULES
) -> str:
    """The name of the terms of a program version with the rules of campaigns, but `unpaid`."""
    parts = [version]
    for each in campaigns:
        without = sorted(rule.id for rule in each.campaign.rules if rule.id in unpaid)
        parts.append(_WITHOUT.join([each.name, *without]))
    return _WITH.join(parts)


def version_in(name: str) -> str:
    """The program version of the name of terms."""
    return name.partition(_WITH)[0]


def named_parts(name: str) -> NamedTerms:
    version, *campaigns = name.split(_WITH)
    found, unpaid = [], set()
    for each in campaigns:
        campaign, *without = each.split(_WITHOUT)
        id_, _, number = campaign.rpartition(_NUMBERED)
        found.append((id_, int(number)))
        unpaid |= set(without)
    return NamedTerms(version, found, frozenset(unpaid))


def with_rules(
    terms: EarningTerms, campaigns: Iterable[PublishedCampaign], unpaid: frozenset[str] = NO_RULES
) -> EarningTerms:
    """Earning terms with the rules of campaigns after those of the program."""
    found = [(rule, each) for each in campaigns for rule in each.campaign.rules]
    if not found:
        return terms
    rules = [*terms.rules.by_id.values(), *(rule for rule, _ in found)]
    return replace(
        terms,
        rules=index_rules(rules),
        campaigns={**terms.campaigns, **{rule.id: each.id for rule, each in found}},
        decided_by={rule.id: terms_name(terms.version, [each]) for rule, each in found},
        unpaid=unpaid,
    )


def with_definitions(program: Program, campaigns: Iterable[Campaign]) -> Program:
    """A program with the definitions of campaigns after its own."""
    found = list(campaigns)
    fields: dict[str, Any] = {
        kind.plural: [*kind.of(program), *(each for campaign in found for each in kind.of(campaign))]
        for kind in KINDS
    }
    return replace(program, **fields)


def context_of(program: Program, campaigns: Sequence[Campaign]) -> Context:
    """The context of a program's document with the parts of campaigns among its own."""
    rules = [*program.rules, *(rule for campaign in campaigns for rule in campaign.rules)]
    return sections.context_of(replace(with_definitions(program, campaigns), rules=rules))


def payers(campaigns: Iterable[Campaign]) -> Mapping[str, str]:
    """The campaigns that pay for definitions, by the rules that credits of these name."""
    return {
        kind.rule_id(definition.id): campaign.id
        for campaign in campaigns
        for kind in KINDS
        for definition in kind.of(campaign)
    }


def bounded(campaign: Campaign, zone: str) -> Campaign:
    """A campaign whose definitions begin and end with it, for members of a zone."""
    begin, end = campaign.begins_at(zone), campaign.ends_at(zone)
    fields: dict[str, Any] = {
        kind.plural: [_bounded(each, begin, end, zone) for each in kind.of(campaign)] for kind in KINDS
    }
    return replace(campaign, **fields)


def _bounded(definition: Definition, begin: datetime, end: datetime, zone: str) -> Definition:
    match definition:
        case Scheduled():
            ends_at = definition.ends_at(zone)
            until = end if ends_at is None else min(end, ends_at)
            return replace(definition, from_=max(begin, definition.begins_at(zone)), until=until)
        case Draw():
            closes_at = min(end, definition.closed_at([zone]))
            return replace(definition, opens_at=max(begin, definition.opened_at(zone)), closes_at=closes_at)
        case _:
            return definition
