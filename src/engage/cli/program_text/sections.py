"""The table of sections: each describes its part of a program, in the order of the output."""

from collections.abc import Callable

from engage.cli.program_text import (
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
from engage.cli.program_text.description import Description
from engage.domain.program.program import Program

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
