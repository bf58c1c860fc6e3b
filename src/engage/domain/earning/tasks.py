"""The tasks of a program's earning rules. Pure: a member's used slots say what is left of each."""

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from engage.domain.earning.awards import EveryNthDay, Fixed
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import DailyStreak, SameAs
from engage.domain.earning.limits.kind import LimitState, UsedSlots
from engage.domain.earning.streak import view
from engage.domain.earning.terms import EarningTerms
from engage.domain.tasks import Obstacle, Task, prevented, refused


def once_keys(terms: EarningTerms) -> list[str]:
    """The source keys that say of a rule whether it has paid for good."""
    keys = (rule.limit.once_key(rule.id, rule.on) for rule in terms.rules.by_id.values())
    return [key for key in keys if key is not None]


def tasks_of(terms: EarningTerms, used: UsedSlots, *, at: datetime, zone: str) -> list[Task]:
    """A task for each rule, in the order of the document. `zone` is the member's."""
    return [_task(terms, rule, used, at, zone) for rule in terms.rules.by_id.values()]


def _task(terms: EarningTerms, rule: Rule, used: UsedSlots, at: datetime, zone: str) -> Task:
    leader = terms.rules.leader(rule.id)
    limits = (leader.limit, *leader.also)
    state = _tightest(
        limit.state(leader.id, leader.on, used, at, zone, terms.version)
        for limit in limits
        if not isinstance(limit, SameAs)
    )
    task = Task(
        rule=rule.id,
        title=rule.texts,
        points=rule.award.points if isinstance(rule.award, Fixed | EveryNthDay) else None,
        activity=rule.on.activity,
        state="open" if state.refusal is None else "done",
        remaining=state.remaining,
        resets_at=state.resets_at,
        why_not=None if state.refusal is None else refused(state.refusal),
    )
    if isinstance(rule.award, EveryNthDay):
        return _bonus(task, rule.award, leader, used, at, zone)
    if rule.on.activity == "birthday":
        # It comes by itself, and is paid at once.
        why_not = prevented(Obstacle.ON_BIRTHDAY)
        return replace(task, state="blocked", remaining=0, resets_at=None, why_not=why_not)
    if rule.on.activity == "registration" and task.state == "open":
        return replace(
            task, state="blocked", remaining=0, resets_at=None, why_not=prevented(Obstacle.ONLY_WHEN_JOINING)
        )
    return task


def _bonus(task: Task, award: EveryNthDay, leader: Rule, used: UsedSlots, at: datetime, zone: str) -> Task:
    """The bonus of a streak: open on the day that completes its days, done after it, else blocked."""
    assert isinstance(leader.limit, DailyStreak)
    shown = view(used.streaks.get(leader.id), at, zone, leader.limit, bonus_every_days=award.days)
    paid_today = task.state == "done" and shown.days > 0 and shown.days % award.days == 0
    missing = award.days - shown.days % award.days
    if paid_today or (task.state == "open" and missing == 1):
        return task
    why_not = prevented(Obstacle.STREAK_DAYS_AHEAD, days=missing)
    return replace(task, state="blocked", remaining=0, resets_at=None, why_not=why_not)


def _tightest(states: Iterable[LimitState]) -> LimitState:
    """Of all limits of a rule, the one that stops it, or else the one that the member meets first."""
    found = list(states)
    stopping = [state for state in found if state.refusal is not None]
    if stopping:
        # Of several, the one that lasts longest; none is longer than for ever.
        lasting = [(state.resets_at, state) for state in stopping if state.resets_at is not None]
        if len(lasting) < len(stopping):
            return next(state for state in stopping if state.resets_at is None)
        return max(lasting, key=lambda item: item[0])[1]
    counted = [state for state in found if state.remaining is not None]
    return min(counted, key=lambda state: state.remaining or 0, default=LimitState())
