"""Validation of checkout terms."""

from collections.abc import Iterator
from datetime import timedelta

from engage.domain.checkout.definition import Checkout
from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem
from engage.domain.document.order_scope import scope_problems
from engage.domain.document.worth import Worth, missing_worth

SHORTEST_HOLD, LONGEST_HOLD = timedelta(minutes=1), timedelta(days=7)


def problems(terms: Checkout, worth: Worth | None, path: str = "checkout") -> Iterator[Problem]:
    yield from missing_worth(worth, path)
    yield from duration_problems(f"{path}.hold_for", terms.hold_for, SHORTEST_HOLD, LONGEST_HOLD)
    yield from scope_problems(terms.orders, f"{path}.orders")
