"""The table of all checks."""

from collections.abc import Callable, Iterable
from typing import Final

from engage.torture.checks.answers import credits_exist, one_action, one_answer
from engage.torture.checks.broken import Broken
from engage.torture.checks.causes import credits_have_causes, refusals_earn_nothing
from engage.torture.checks.due import never_early, never_late
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.statuses import answers_are_documented, no_server_errors
from engage.torture.checks.streaks import streaks_are_folds

Check = Callable[[Evidence], Iterable[Broken]]

CHECKS: Final[tuple[Check, ...]] = (
    no_server_errors,
    answers_are_documented,
    one_answer,
    credits_exist,
    one_action,
    credits_have_causes,
    refusals_earn_nothing,
    never_early,
    never_late,
    streaks_are_folds,
)


def judge(evidence: Evidence) -> list[Broken]:
    """All promises that were broken, in the order of the table."""
    return [broken for check in CHECKS for broken in check(evidence)]
