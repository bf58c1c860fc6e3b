"""One step of an example, played on a simulated member."""

from datetime import datetime

from msgspec.structs import replace

from engage.domain.activity import Order
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Outcome
from engage.domain.program.example import TimedStep
from engage.domain.protection.example_steps import ExpectedHold
from engage.domain.protection.simulated import SimulatedProtection
from engage.domain.refusals import Refusal
from engage.domain.simulation.member import SimulatedMember


def play(member: SimulatedMember, step: TimedStep, at: datetime) -> Outcome:
    """Play a step once, between everything that is due before and at its time, and what follows from it.

    What is paid because something else happened, such as a step of a challenge, is earned by the step too.
    """
    member.advance(at)
    earned = member.react(at)
    protection = member.feature(SimulatedProtection)
    protection.come_from(step.origin)
    try:
        outcome = _do(member, step, at)
    except Refusal as refusal:
        outcome = Outcome(refusal=refusal)
    if step.origin is not None and outcome.refusal is None:
        found = ExpectedHold(by=protection.held_by)
        outcome = replace(outcome, results={**outcome.results, "held": found})
    protection.come_from(None)
    earned += member.react(at)
    member.advance(at)
    if earned and outcome.refusal is None:
        outcome = replace(outcome, credits=[*(outcome.credits or []), *earned])
    return outcome


def _do(member: SimulatedMember, step: TimedStep, at: datetime) -> Outcome:
    match step.do:
        case Action() as action:
            return action.play(member, at)
        case Order() as order:
            return Outcome(credits=member.pay(order, at))
        case activity:
            return Outcome(credits=member.record(activity, at))
