"""The table of all checks."""

from collections.abc import Callable, Iterable
from typing import Final

from engage.torture.checks.accounts import closings_are_as_answered, erased_members_have_no_access
from engage.torture.checks.answers import credits_exist, one_action, one_answer
from engage.torture.checks.broken import Broken
from engage.torture.checks.campaigns import campaigns_keep_to_their_documents
from engage.torture.checks.causes import credits_have_causes, refusals_earn_nothing
from engage.torture.checks.due import never_early, never_late
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.feed import last_states_are_pushed, sockets_are_in_order, states_agree
from engage.torture.checks.limits import limits_hold
from engage.torture.checks.orders import orders_are_folds
from engage.torture.checks.spending import coupons_are_paid_once, holds_end_once, withdrawals_end_once
from engage.torture.checks.statement import (
    balances_are_sound,
    entries_add_up,
    entries_stay,
    pending_adds_up,
)
from engage.torture.checks.statuses import answers_are_documented
from engage.torture.checks.streaks import streaks_are_folds

Check = Callable[[Evidence], Iterable[Broken]]

CHECKS: Final[tuple[Check, ...]] = (
    answers_are_documented,
    one_answer,
    credits_exist,
    one_action,
    credits_have_causes,
    refusals_earn_nothing,
    never_early,
    never_late,
    streaks_are_folds,
    orders_are_folds,
    limits_hold,
    entries_add_up,
    pending_adds_up,
    entries_stay,
    balances_are_sound,
    holds_end_once,
    withdrawals_end_once,
    coupons_are_paid_once,
    sockets_are_in_order,
    states_agree,
    last_states_are_pushed,
    campaigns_keep_to_their_documents,
    closings_are_as_answered,
    erased_members_have_no_access,
)


def judge(evidence: Evidence) -> list[Broken]:
    """All promises that were broken, in the order of the table."""
    return [broken for check in CHECKS for broken in check(evidence)]
