"""All that the checks judge by."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from engage.torture.checks.books import Books, Credit
from engage.torture.checks.exchanges import Exchange, Wish, exchanges_of, wishes_of
from engage.torture.checks.timeline import Timeline
from engage.torture.record import Line


class Evidence:
    """The record, the books after the end, and the contract: the OpenAPI document."""

    def __init__(self, lines: Sequence[Line], books: Books, contract: dict[str, Any] | None = None) -> None:
        self.lines, self.contract = lines, contract or {}
        self.exchanges = exchanges_of(lines)
        self.timeline = Timeline(self.exchanges)
        self.books = books.of_members_since(self.timeline.began)
        self._of: defaultdict[str, list[Exchange]] = defaultdict(list)
        for exchange in self.exchanges:
            self._of[exchange.sent.operation].append(exchange)

    def of(self, *operations: str) -> list[Exchange]:
        """The exchanges of these operations."""
        return [exchange for operation in operations for exchange in self._of[operation]]

    def wishes(self, *operations: str) -> list[Wish]:
        return list(wishes_of(self.of(*operations)))

    @cached_property
    def credits_by_id(self) -> dict[tuple[str, str], Credit]:
        """Credits by member and id. After a merger both members have a row under one id."""
        return {(credit.member_id, str(credit.id)): credit for credit in self.books.credits}

    @cached_property
    def zones(self) -> dict[str, str]:
        return {member.member_id: ZONES[member.country] for member in self.books.members}


# As the document of the members' program has them.
ZONES = {"ES": "Europe/Madrid", "NZ": "Pacific/Auckland"}
