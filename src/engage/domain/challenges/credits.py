"""The credits that the steps of a challenge pay."""

from typing import Final

from engage.domain.activity import StepReached
from engage.domain.challenges.progress import ReachedStep
from engage.domain.earning.credit import NewCredit, new_credit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import CHALLENGE

NAME: Final = CHALLENGE


def rule_of(challenge_id: str) -> str:
    """The rule of the credits of a challenge."""
    return f"{NAME}:{challenge_id}"


def activity_of(reached: ReachedStep, number: int) -> StepReached:
    """The reaching of a step, as an activity. `number` counts from 1 how often the step was paid."""
    return StepReached(
        challenge_id=reached.run.id, period=reached.run.label, step=reached.step.at, number=number
    )


def step_credit(terms: EarningTerms, reached: ReachedStep, number: int) -> NewCredit:
    """The credit of a step that pays points, from the time of the fact that reached it."""
    challenge, points = reached.run.challenge, reached.step.points
    assert points is not None
    activity, rule_id = activity_of(reached, number), rule_of(challenge.id)
    return new_credit(
        terms,
        rule_id,
        points,
        activity,
        due=challenge.due,
        source_key=activity.reference,
        inputs={"version": reached.run.version, "reached_by": reached.by.activity},
        at=reached.by.at,
        zone=reached.by.zone,
        trace=[
            step(
                TraceCode.CHALLENGE_STEP,
                rule=rule_id,
                period=reached.run.label,
                progress=reached.step.at,
                points=points,
            )
        ],
    )
