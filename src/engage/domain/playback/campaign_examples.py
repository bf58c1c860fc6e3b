"""Play the examples of a campaign, each on a new simulated member under the program version of its time."""

from collections.abc import Sequence

from engage.domain.calendar import instant
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.example import CampaignExample
from engage.domain.campaigns.simulated import GivenFacts, as_published, simulate
from engage.domain.playback.examples import Failure, play_example
from engage.domain.program.program import Program
from engage.domain.program.step_validation import version_of
from engage.domain.simulation.member import SimulatedMember


def check(campaign: Campaign, programs: Sequence[Program]) -> list[Failure]:
    """Play every example of a valid campaign, as if it were approved. `programs` are the versions of its
    program, the oldest first.
    """
    return [
        failure
        for index, example in enumerate(campaign.examples)
        for failure in play_example(_member(campaign, example, programs), index, example)
    ]


def _member(campaign: Campaign, example: CampaignExample, programs: Sequence[Program]) -> SimulatedMember:
    program = version_of(programs, example.country, example.steps)
    assert program is not None, "validation requires it"
    zone = program.countries[example.country].zone
    joined_at = None if example.joined_at is None else instant(example.joined_at, zone)
    facts = GivenFacts(joined_at=joined_at, segments=frozenset(example.segments), held_out=example.held_out)
    return simulate(program, example.country, [as_published(campaign)], facts)
