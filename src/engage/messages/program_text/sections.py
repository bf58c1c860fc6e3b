"""The table of sections: each describes its part of a program, in the order of the output."""

from collections.abc import Callable
from typing import Final

from engage.domain.program.program import Program
from engage.messages.program_text import (
    campaigns,
    checkout,
    draws,
    earning,
    expiry,
    games,
    leaderboards,
    market,
    members,
    protection,
    quizzes,
    referrals,
    rewards,
    tiers,
    withdrawals,
)
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording

_SECTIONS: Final[tuple[Callable[[Program, Wording], Description], ...]] = (
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
    protection.describe,
    campaigns.describe,
)


def descriptions(program: Program, language: str) -> list[Description]:
    """The sections of a program in a language."""
    words = Wording(program, language)
    return [describe(program, words) for describe in _SECTIONS]


def lines(program: Program, language: str) -> list[str]:
    """The program in words, a line a sentence and a row."""
    found: list[str] = []
    for description in descriptions(program, language):
        found += description.sentences
        if description.table is not None:
            headers = description.table.headers
            found += [f"{headers[0]} {row[0]}: {'; '.join(row[1:])}" for row in description.table.rows]
    return found
