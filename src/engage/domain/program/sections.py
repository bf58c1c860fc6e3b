"""The table of sections that features bring to a program."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from engage.domain.checkout.section import CHECKOUT
from engage.domain.definitions.kind import definition_section
from engage.domain.document.errors import Problem
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import FirstOrders
from engage.domain.earning.validation import rule_conflicts, rule_problems
from engage.domain.feature.section import Context, Section
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program
from engage.domain.protection.section import PROTECTION
from engage.domain.referrals.section import REFERRALS
from engage.domain.rewards.section import REWARDS
from engage.domain.simulation.member import SimulatedMember
from engage.domain.tiers.section import TIERS
from engage.domain.withdrawals.section import WITHDRAWALS


class RulesDocument(Protocol):
    """The fields that the section `rules` reads."""

    @property
    def rules(self) -> Sequence[Rule]: ...


# Here, because earning is below the shape of a feature.
RULES: Section[RulesDocument] = Section(
    problems=lambda document, context: rule_problems(document.rules),
    conflicts=lambda earlier, later, version: rule_conflicts(earlier.rules, later.rules, version),
    ids=lambda document: {"rules": [rule.id for rule in document.rules]},
    pays=lambda document: [rule.id for rule in document.rules],
    has_amounts=lambda document: any(rule.award.has_amounts for rule in document.rules),
    reacts=lambda document: any(isinstance(rule.limit, FirstOrders) for rule in document.rules),
)

# A feature adds one line here, one to `Program`, and one to `AnyAction` for its example steps. A kind of
# definition has its line in KINDS.
SECTIONS: tuple[Section[Program], ...] = (
    RULES,
    CHECKOUT,
    WITHDRAWALS,
    REWARDS,
    REFERRALS,
    TIERS,
    PROTECTION,
    *map(definition_section, KINDS),
)


def context_of(program: Program) -> Context:
    ids: dict[str, Sequence[str]] = {}
    for section in SECTIONS:
        ids |= section.ids(program)
    return Context(program.worth, ids, [rule for section in SECTIONS for rule in section.pays(program)])


def problems(program: Program, context: Context) -> Iterator[Problem]:
    for section in SECTIONS:
        yield from section.problems(program, context)


def conflicts(earlier: Program, later: Program) -> Iterator[Problem]:
    for section in SECTIONS:
        yield from section.conflicts(earlier, later, earlier.version)


def have_amounts(program: Program) -> bool:
    return any(section.has_amounts(program) for section in SECTIONS)


def react(program: Program) -> bool:
    """Tell whether something that a program pays follows from what the ledger and the orders say."""
    return any(section.reacts(program) for section in SECTIONS)


def simulate(program: Program, country: str) -> SimulatedMember:
    """A new member of a country, with the state of every feature."""
    market = program.countries[country]
    member = SimulatedMember(program.earning, market, eligibility=program.eligibility, grace=program.grace)
    for section in SECTIONS:
        if section.simulate is not None:
            member.add(section.simulate(member, program))
    return member
