"""Sections of the home screen. A feature describes its section; `engage.flows.reads.home` lists them all."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from engage.domain.earning.terms import EarningTerms
from engage.domain.market import Market
from engage.domain.program.program import Program

View = Callable[[Any], object]


class Offer(Struct, frozen=True):
    """The program version and the market that apply to a member now. `terms` have the rules of campaigns that
    are for the member too.
    """

    program: Program
    market: Market
    terms: EarningTerms


class HomeContext(Struct, frozen=True):
    """`offer` is None while the program offers nothing in the member's country. `language` is that of the
    answer. `versions` are all of the program, oldest first.
    """

    now: datetime
    offer: Offer | None
    language: str
    country: str
    versions: Sequence[Program]


class HomeSection(Struct, frozen=True, kw_only=True):
    """One field of the home screen.

    `select` is an SQL expression as `engage.ledger.home` describes, of a value that becomes JSON, and
    `parameters` gives its parameters. The JSON is decoded to `type`. `view` returns what turns a value read
    into the field: it is called once for all members with the same context, who may be many.
    """

    field: str
    select: str
    type: Any
    parameters: Callable[[HomeContext], dict[str, object]]
    view: Callable[[HomeContext], View]


def listed(value: list[Any] | None) -> list[Any]:
    """A list as it was decoded, where an aggregate of no rows is null."""
    return value or []
