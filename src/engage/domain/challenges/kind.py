"""Challenges as a kind of definition."""

from typing import Final

from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.simulated import SimulatedChallenges
from engage.domain.challenges.validation import challenge_problems, has_amounts
from engage.domain.definitions.kind import DefinitionKind

CHALLENGE: Final = DefinitionKind(
    name="challenge",
    plural="challenges",
    struct=Challenge,
    problems=challenge_problems,
    reacts=True,
    has_amounts=has_amounts,
    simulate=SimulatedChallenges,
)
