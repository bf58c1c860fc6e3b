"""The tasks of earning rules: what is left of their limits."""

from collections.abc import Sequence
from typing import Any

from engage.domain import calendar
from engage.domain.earning.limits.kind import UsedSlots
from engage.domain.earning.tasks import once_keys, tasks_of
from engage.domain.tasks import Task
from engage.ledger import home as ledger
from engage.runtime.tasks import TaskContext, TaskSource


def _select(context: TaskContext) -> str:
    # A scalar for each streak, of which there are one or two. With an array of rules, the plan for any array
    # looks so much worse than that for the given one that each call is planned.
    streaks = ", ".join(ledger.streak(f"streak_{n}") for n in range(len(_streak_rules(context))))
    # Of a member's credits, all are looked at to count those of orders.
    orders = ledger.PAID_ORDERS if context.terms.rules.first_orders else "NULL"
    return f"json_build_array({ledger.USED_KEYS}, {ledger.USED_SLOTS}, json_build_array({streaks}), {orders})"


def _streak_rules(context: TaskContext) -> list[str]:
    return [rule.id for rule in context.terms.rules.streaks]


def _parameters(context: TaskContext) -> dict[str, object]:
    terms = context.terms
    today = calendar.local_date(context.now, context.market.zone)
    limited = list(terms.rules.first_orders)
    return {
        **({"order_rules": limited} if limited else {}),
        "once_keys": once_keys(terms),
        "of_day": today,
        "of_month": today.replace(day=1),
        **{f"streak_{n}": rule_id for n, rule_id in enumerate(_streak_rules(context))},
    }


def _tasks(context: TaskContext, value: Any) -> Sequence[Task]:
    keys, slots, runs, orders = value
    found = zip(_streak_rules(context), map(ledger.streak_shown, runs), strict=True)
    streaks = {rule_id: shown.streak for rule_id, (shown, _) in found if shown is not None}
    used = UsedSlots(frozenset(keys or ()), ledger.used_slots_of(slots), streaks, orders or {})
    return tasks_of(context.terms, used, at=context.now, zone=context.market.zone)


TASKS = TaskSource(select=_select, parameters=_parameters, view=_tasks)
