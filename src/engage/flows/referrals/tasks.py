"""The tasks of referrals: to invite a friend, and to use a friend's code."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from engage.domain import calendar
from engage.domain.keys import referral_rule
from engage.domain.referrals.claim import check_in_time, check_limit, counts_since
from engage.domain.referrals.definition import ReferralReward, ReferralTerms
from engage.domain.refusals import Code, Refusal
from engage.domain.tasks import Task, refused
from engage.runtime.tasks import TaskContext, TaskSource

ACTIVITY: Final = "referral"

# `:task_friends_since`: since when friends count towards the limit, null for ever.
_FACTS = """(
    SELECT json_build_array(
        m.joined_at,
        EXISTS (SELECT FROM referrals r WHERE r.program_id = b.program_id AND r.member_id = b.member_id),
        EXISTS (
            SELECT FROM orders o WHERE o.program_id = b.program_id AND o.member_id = b.member_id
              AND o.delivered_at IS NOT NULL AND o.paid IS NOT NULL AND o.cancelled_at IS NULL
        ),
        (SELECT count(*) FROM referrals r
         WHERE r.program_id = b.program_id AND r.advocate_id = b.member_id AND r.state <> 'rejected'
           AND (CAST(:task_friends_since AS timestamptz) IS NULL OR r.claimed_at >= :task_friends_since))
    )
    FROM members m WHERE m.program_id = b.program_id AND m.member_id = b.member_id
)"""


class _Facts(Struct, frozen=True, array_like=True):
    """`friends`: those of the member that count towards the limit."""

    joined_at: datetime
    is_referred: bool
    has_delivery: bool
    friends: int


def _terms(context: TaskContext) -> ReferralTerms | None:
    terms = context.program.referral
    return terms if terms is not None and terms.is_open(context.now, context.market.zone) else None


def _parameters(context: TaskContext) -> dict[str, object]:
    terms = _terms(context)
    if terms is None:
        return {}
    return {"task_friends_since": counts_since(terms, at=context.now, zone=context.market.zone)}


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    terms = _terms(context)
    if terms is None:
        return []
    facts = msgspec.convert(value, _Facts)
    tasks = []
    if terms.advocate is not None:
        tasks.append(_inviting(context, terms, terms.advocate, facts))
    if terms.friend is not None:
        tasks.append(_invited(context, terms, terms.friend, facts))
    return tasks


def _inviting(context: TaskContext, terms: ReferralTerms, reward: ReferralReward, facts: _Facts) -> Task:
    zone, limit, refusal = context.market.zone, terms.limit, None
    try:
        check_limit(terms, facts.friends, version=context.program.version, at=context.now, zone=zone)
    except Refusal as error:
        refusal = error
    return Task(
        rule=referral_rule("advocate"),
        title=None,
        points=reward.points,
        activity=ACTIVITY,
        state="open" if refusal is None else "done",
        remaining=None if limit is None else max(limit.count - facts.friends, 0),
        resets_at=None if limit is None else calendar.period(limit.window, context.now, zone).end,
        why_not=None if refusal is None else refused(refusal),
    )


def _invited(context: TaskContext, terms: ReferralTerms, reward: ReferralReward, facts: _Facts) -> Task:
    task = Task(
        rule=referral_rule("friend"), title=None, points=reward.points, activity=ACTIVITY, remaining=1
    )
    if facts.is_referred:
        why_not = refused(Refusal(Code.ALREADY_REFERRED))
        return msgspec.structs.replace(task, state="done", remaining=0, why_not=why_not)
    try:
        check_in_time(terms, joined_at=facts.joined_at, has_delivery=facts.has_delivery, at=context.now)
    except Refusal as refusal:
        return msgspec.structs.replace(task, state="blocked", remaining=0, why_not=refused(refusal))
    return task


TASKS = TaskSource(
    select=lambda context: "NULL" if _terms(context) is None else _FACTS, parameters=_parameters, view=_tasks
)
