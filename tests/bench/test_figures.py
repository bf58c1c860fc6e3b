"""Targets, medians and percentiles of figures."""

import pytest

from engage.bench.figures import Figure, as_json, compare, median, percentile


def test_a_target_applies_to_the_ratio() -> None:
    figure = Figure(
        benchmark="b", what="w", value=10.0, unit="taps/s", over="x: 40/s", ratio=0.25, at_least=0.3
    )
    assert figure.met is False
    assert as_json(figure)["met"] is False


@pytest.mark.parametrize(("value", "met"), [(19.9, True), (20.0, True), (20.1, False)])
def test_without_a_ratio_a_target_applies_to_the_value(value: float, met: bool) -> None:
    assert Figure(benchmark="b", what="w", value=value, unit="KiB", at_most=20.0).met is met


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    assert Figure(benchmark="b", what="w", value=1.0, unit="s").met is None


def test_percentiles_are_measured_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert percentile([7.0], 1) == 7.0


def test_a_median_is_the_middle_or_the_mean_of_two() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5


def test_a_comparison_is_the_ratio_of_two_medians() -> None:
    figure = compare(
        "b", "w", "taps/s", [10.0, 30.0, 20.0], baseline="x", baseline_rates=[80.0, 40.0, 50.0], at_least=0.5
    )
    assert (figure.value, figure.ratio, figure.met) == (20.0, 0.4, False)
    assert figure.over == "x: 50/s"
    assert figure.note == "median of 10, 30, 20"
