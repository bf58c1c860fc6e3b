"""The statement of a made-up member who does some things under campaigns, step by step."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.accounts.balance import Balance
from engage.domain.earning.credit import NewCredit
from engage.domain.playback.play import play
from engage.domain.program.example import TimedStep
from engage.domain.refusals import Refusal
from engage.domain.simulation.member import SimulatedMember


class PlayedStep(Struct, frozen=True):
    """A step on one of its days, and its outcome. `index` is the step's place in the request. `results` are
    those that are no credits, in words, by the name that examples expect them under. `balance` is that after
    the step.
    """

    index: int
    at: datetime
    credits: Sequence[NewCredit]
    refusal: Refusal | None
    results: Mapping[str, str]
    balance: Balance


def play_steps(member: SimulatedMember, steps: Sequence[TimedStep]) -> Iterator[PlayedStep]:
    """Play valid steps on a new member, one after the other."""
    zone = member.market.zone
    for index, step in enumerate(steps):
        for at in step.instants(zone):
            outcome = play(member, step, at)
            results = {name: result.in_words(zone) for name, result in outcome.results.items()}
            credits = outcome.credits or []
            yield PlayedStep(index, at, credits, outcome.refusal, results, member.account.balance)
