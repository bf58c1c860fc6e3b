"""The table of sections that features bring to a program."""

from collections.abc import Iterator

from engage.domain.checkout.section import CHECKOUT
from engage.domain.document.errors import Problem
from engage.domain.feature.section import Context, Section
from engage.domain.program.program import Program
from engage.domain.rewards.section import REWARDS
from engage.domain.simulation.member import SimulatedMember
from engage.domain.withdrawals.section import WITHDRAWALS

# A feature adds one line here, one to `Program`, and one to `AnyAction` for its example steps.
SECTIONS: tuple[Section[Program], ...] = (
    CHECKOUT,
    WITHDRAWALS,
    REWARDS,
)


def context_of(program: Program) -> Context:
    ids = {"rules": [rule.id for rule in program.rules]}
    for section in SECTIONS:
        ids |= {name: list(listed) for name, listed in section.ids(program).items()}
    return Context(program.worth, ids)


def problems(program: Program, context: Context) -> Iterator[Problem]:
    for section in SECTIONS:
        yield from section.problems(program, context)


def conflicts(earlier: Program, later: Program) -> Iterator[Problem]:
    for section in SECTIONS:
        yield from section.conflicts(earlier, later, earlier.version)


def have_amounts(program: Program) -> bool:
    return any(section.has_amounts(program) for section in SECTIONS)


def simulate(program: Program, country: str) -> SimulatedMember:
    """A new member of a country, with the state of every feature."""
    market = program.countries[country]
    member = SimulatedMember(program.earning, market, eligibility=program.eligibility, grace=program.grace)
    for section in SECTIONS:
        if section.simulate is not None:
            member.add(section.simulate(member, program))
    return member
