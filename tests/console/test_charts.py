"""The scales of charts."""

import pytest

from engage.console.charts import axis_end


@pytest.mark.parametrize(
    ("values", "end"),
    [([], 1), ([0], 1), ([7, -9], 10), ([22_267, -918], 30_000), ([-10, 3], 10), ([101], 200)],
)
def test_an_axis_ends_at_a_round_number_beyond_every_value(values: list[int], end: int) -> None:
    assert axis_end(values) == end
