"""The effect of a campaign is a difference of rates with an interval that holds."""

import pytest

from engage.flows.campaigns.uplift import compare
from engage.store.campaigns.report import Outcome


def test_the_published_example_of_newcombe() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table II, example (a), method 10: 56/70 and 48/80.
    found = compare(Outcome(70, 56), Outcome(80, 48))
    assert found.uplift == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_an_empty_group_has_no_rate_and_nothing_is_compared() -> None:
    found = compare(Outcome(10, 4), Outcome(0, 0))
    assert (found.rate, found.uplift, found.interval) == (None, None, None)
    assert found.audience_rate == 0.4


def test_no_difference_is_within_the_interval() -> None:
    interval = compare(Outcome(1_000, 100), Outcome(1_000, 100)).interval
    assert interval is not None
    assert interval[0] < 0 < interval[1]
