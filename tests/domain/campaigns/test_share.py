"""A share of members is stable, spread evenly, and another one for each campaign and purpose."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from engage.domain.campaigns.audience import share_of

ids = st.text(min_size=1, max_size=20)


@given(ids, ids)
def test_a_place_is_from_0_to_100_and_always_the_same(member: str, campaign: str) -> None:
    place = share_of(member, "p", campaign, "holdout")
    assert 0 <= place < 100
    assert place == share_of(member, "p", campaign, "holdout")


def test_places_are_spread_evenly_and_independent() -> None:
    members = [f"m-{n}" for n in range(20_000)]
    tenths = Counter(int(share_of(member, "p", "spring", "holdout") // 10) for member in members)
    assert all(1_850 < tenths[tenth] < 2_150 for tenth in range(10))
    both = sum(
        share_of(member, "p", "spring", "holdout") < 50 and share_of(member, "p", "spring", "percent") < 50
        for member in members
    )
    assert 4_800 < both < 5_200
    other = sum(
        share_of(member, "p", "spring", "holdout") < 50 and share_of(member, "p", "autumn", "holdout") < 50
        for member in members
    )
    assert 4_800 < other < 5_200
