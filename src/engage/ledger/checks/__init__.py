"""The promises of the ledger that SQL can see, each with a query for the rows that break it.

A query reads each table that it is about once or twice, whole, so that a large ledger is checked in minutes.
"""

from engage.ledger.checks.check import Check
from engage.ledger.checks.credits import CREDIT_CHECKS
from engage.ledger.checks.entries import ENTRY_CHECKS
from engage.ledger.checks.lateness import LATENESS_CHECKS
from engage.ledger.checks.lots import LOT_CHECKS
from engage.ledger.checks.orders import ORDER_CHECKS
from engage.ledger.checks.rows import ROW_CHECKS
from engage.ledger.checks.rules import RULE_CHECKS
from engage.ledger.checks.spending import SPENDING_CHECKS

__all__ = ["CHECKS", "Check"]

CHECKS = (
    *ENTRY_CHECKS,
    *CREDIT_CHECKS,
    *LOT_CHECKS,
    *SPENDING_CHECKS,
    *ORDER_CHECKS,
    *ROW_CHECKS,
    *RULE_CHECKS,
    *LATENESS_CHECKS,
)
