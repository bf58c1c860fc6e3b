"""Words that several sections use: amounts, durations, lists, scopes of orders."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from engage.domain.document import iso_codes
from engage.domain.document.order_scope import OrderScope
from engage.domain.program.program import Program


def money(minor: int, program: Program) -> str:
    """Format an amount in each currency of the program: 5.00 EUR/GBP, or 1,000 XOF."""
    by_decimals: dict[int, list[str]] = {}
    for currency in dict.fromkeys(market.currency for market in program.countries.values()):
        by_decimals.setdefault(iso_codes.decimals(currency), []).append(currency)
    amounts = [
        f"{minor / 10**decimals:,.{decimals}f} {'/'.join(currencies)}"
        for decimals, currencies in by_decimals.items()
    ]
    return " or ".join(amounts)


def duration(length: timedelta) -> str:
    """Format in the largest unit that gives a whole number: 5 minutes, 24 hours, but 2 days."""
    seconds = int(length.total_seconds())
    for unit, size, least in (("day", 86_400, 2), ("hour", 3_600, 1), ("minute", 60, 1)):
        if seconds % size == 0 and seconds >= size * least:
            number = seconds // size
            return f"{number} {unit}" + ("s" if number > 1 else "")
    return f"{length.total_seconds():g} seconds"


def one_of(words: Sequence[str]) -> str:
    """Join words: `a`, `a or b`, `a, b or c`. Underscores become spaces."""
    words = [word.replace("_", " ") for word in words]
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def order_scope(orders: OrderScope) -> Iterator[str]:
    """Yield the conditions of an order. There are none if all orders are in the scope."""
    if orders.channels is not None:
        yield f"by {one_of(orders.channels)}"
    if orders.refused_methods:
        yield f"not paid by {one_of(orders.refused_methods)}"
    if orders.online_at_pickup:
        yield "online only when paid at pick-up"
    if not orders.promotion_lines:
        yield "no lines in a promotion"
