"""The ledger's checks for the audit."""

from engage.ledger.checks.accounts import ACCOUNT_CHECKS
from engage.ledger.checks.credits import CREDIT_CHECKS
from engage.ledger.checks.entries import ENTRY_CHECKS
from engage.ledger.checks.holds import HOLD_CHECKS
from engage.ledger.checks.lots import LOT_CHECKS
from engage.ledger.checks.members import MEMBER_CHECKS
from engage.ledger.checks.rules import RULE_CHECKS
from engage.ledger.checks.streaks import STREAK_CHECKS
from engage.ledger.checks.times import TIME_CHECKS

__all__ = ["LEDGER_CHECKS"]

LEDGER_CHECKS = (
    *ACCOUNT_CHECKS,
    *ENTRY_CHECKS,
    *CREDIT_CHECKS,
    *LOT_CHECKS,
    *HOLD_CHECKS,
    *MEMBER_CHECKS,
    *RULE_CHECKS,
    *STREAK_CHECKS,
    *TIME_CHECKS,
)
