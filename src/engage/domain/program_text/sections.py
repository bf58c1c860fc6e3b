"""The table of sections: each describes its part of a program, in the order of the output."""

from collections.abc import Callable

from engage.domain.program.program import Program
from engage.domain.program_text import (
    campaigns,
    checkout,
    draws,
    earning,
    expiry,
    games,
    leaderboards,
    market,
    members,
    quizzes,
    referrals,
    rewards,
    tiers,
    withdrawals,
)
from engage.domain.program_text.description import Description

SECTIONS: tuple[Callable[[Program], Description], ...] = (
    market.describe,
    members.describe,
    earning.describe,
    expiry.describe,
    checkout.describe,
    withdrawals.describe,
    rewards.describe,
    referrals.describe,
    quizzes.describe,
    games.describe,
    leaderboards.describe,
    draws.describe,
    tiers.describe,
    campaigns.describe,
)


def lines(program: Program) -> list[str]:
    """The program in words, a line a sentence and a row."""
    found: list[str] = []
    for describe in SECTIONS:
        description = describe(program)
        found += description.sentences
        if description.table is not None:
            headers = description.table.headers
            found += [f"{headers[0]} {row[0]}: {'; '.join(row[1:])}" for row in description.table.rows]
    return found
