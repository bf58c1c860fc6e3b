"""The differences between the steps that a member has reached and what they were paid for. Pure."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.challenges.progress import ReachedStep, reached_steps
from engage.flows.challenges.member_progress import Participant, Runs
from engage.store.challenges.paid import Gift, PaidCredit, StepKey


class Differences(Struct, frozen=True):
    """Credits and rewards that a member should get and lose. `pay`: steps, with how often each will have
    been paid.
    """

    participant: Participant
    pay: Sequence[tuple[ReachedStep, int]]
    take_back: Sequence[PaidCredit]
    give: Sequence[ReachedStep]
    take_gifts: Sequence[Gift]

    @property
    def is_any(self) -> bool:
        return bool(self.pay or self.take_back or self.give or self.take_gifts)


def differences(
    participant: Participant,
    runs: Runs,
    credits: Sequence[PaidCredit],
    gifts: Sequence[Gift],
    *,
    horizon: datetime,
) -> Differences:
    """Compare runs that were not over at the horizon. All others stay as they are."""
    reached = {
        (step.run.id, step.run.label, step.step.at): step
        for step in reached_steps(runs)
        if step.run.ends_at > horizon
    }
    by_step: dict[StepKey, list[PaidCredit]] = {}
    for credit in credits:
        by_step.setdefault(credit.step_key, []).append(credit)
    given = {gift.step_key: gift for gift in gifts}
    take_back = []
    for key, paid in by_step.items():
        if key not in reached:
            take_back += [c for c in paid if c.is_live and _is_open(participant, c, horizon)]
        else:
            take_back += _twice(paid)
    return Differences(
        participant,
        [
            (step, max((credit.number for credit in by_step.get(key, ())), default=0) + 1)
            for key, step in reached.items()
            if step.step.points is not None and not any(c.is_live for c in by_step.get(key, ()))
        ],
        take_back,
        [step for key, step in reached.items() if step.step.reward is not None and key not in given],
        [
            gift
            for key, gift in given.items()
            if key not in reached and gift.state == "issued" and _is_open(participant, gift, horizon)
        ],
    )


def _twice(paid: Sequence[PaidCredit]) -> list[PaidCredit]:
    """Pending credits of a step that two accounts were paid for which are one now: it is paid once. Points
    that were active stay the member's.
    """
    live = sorted((credit for credit in paid if credit.is_live), key=lambda credit: credit.state)
    return [credit for credit in live[1:] if credit.state == "pending"]


def _is_open(participant: Participant, paid: PaidCredit | Gift, horizon: datetime) -> bool:
    """Tell whether what was paid is of a run that was not over at the horizon."""
    return any(
        run.label == paid.period and run.ends_at > horizon
        for course in participant.courses
        if course.newest.id == paid.challenge_id
        for run in course.runs_at(paid.reached_at, paid.zone)
    )
