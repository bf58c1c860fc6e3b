"""The earning terms of a program version."""

from collections.abc import Mapping

from msgspec import Struct

from engage.domain.accounts.expiry import Expiry
from engage.domain.earning.index import RuleIndex


class EarningTerms(Struct, frozen=True, kw_only=True):
    """Everything of a program version that decides about credits. Campaigns add rules for a while:
    `campaigns` names those that pay a rule, by its id, and `decided_by` the terms that a credit of such a
    rule names as its version (`engage.domain.campaigns.composition`). `unpaid` are rules that do not pay for
    an order: the budgets of their campaigns had not enough for it.
    """

    program: str
    version: str
    expiry: Expiry
    rules: RuleIndex
    campaigns: Mapping[str, str] = {}
    decided_by: Mapping[str, str] = {}
    unpaid: frozenset[str] = frozenset()
