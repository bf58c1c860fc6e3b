"""Sources of tasks. A feature describes its own; `engage.flows.reads.tasks` lists them all."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.earning.terms import EarningTerms
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.tasks import Task
from engage.runtime.services import Services
from engage.store.members.members import Member


class TaskContext(Struct, frozen=True):
    """A member at an instant, and the program version and the market that apply in their country. `campaigns`
    are for the member then, and `terms` have their rules too.
    """

    services: Services
    now: datetime
    member: Member
    program: Program
    market: Market
    terms: EarningTerms
    campaigns: Sequence[PublishedCampaign]

    @property
    def campaign_ids(self) -> frozenset[str]:
        return frozenset(each.id for each in self.campaigns)

    @property
    def country(self) -> str:
        return self.member.country


class TaskSource(Struct, frozen=True, kw_only=True):
    """The tasks of a feature.

    `select` gives an SQL expression as `engage.ledger.home` describes: all sources are read by one statement.
    It may depend on the program, but there should be few different ones, for each is planned anew. A source
    which needs no rows has NULL. `parameters` gives its parameters, and `view` makes tasks of the value read.
    Definitions come from the caches of `services`, never from another statement.
    """

    select: Callable[[TaskContext], str] = lambda _: "NULL"
    parameters: Callable[[TaskContext], dict[str, object]] = lambda _: {}
    view: Callable[[TaskContext, Any], Sequence[Task]]
