"""The root commits to the terms and to every entry, and the winners follow from it without bias."""

from collections import Counter
from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.draws.beacon import QUICKNET
from engage.domain.draws.certificate import terms_of
from engage.domain.draws.commitment import entry_hash, merkle_root, root_of
from engage.domain.draws.drawing import named_round, winners_of
from tests.domain.draws.rounds import CLOSES_AT, PUBLISHED, ROUND, certificate
from tests.support.generated_cases import cases

SIGNATURE = PUBLISHED[ROUND]


def rfc_9162(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash as the RFC writes it."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + rfc_9162(leaves[:split]) + rfc_9162(leaves[split:])).digest()


@pytest.mark.parametrize("count", range(1, 40))
def test_the_tree_is_that_of_the_rfc(count: int) -> None:
    leaves = [str(n).encode() for n in range(count)]
    assert merkle_root(leaves) == rfc_9162(leaves)


def test_a_node_cannot_stand_for_a_leaf() -> None:
    one, two = (sha256(b"\x00" + leaf).digest() for leaf in (b"1", b"2"))
    assert merkle_root([b"1", b"2"]) != merkle_root([one + two])
    # Repeating the last leaf of an odd number changes the root.
    assert merkle_root([b"1", b"2", b"3"]) != merkle_root([b"1", b"2", b"3", b"3"])


def test_a_member_can_compute_the_hash_of_their_entry_with_any_tool() -> None:
    text = '{"draw_id":"rewardmi","member_id":"m-1","number":7,"program":"in-mi-tokens","salt":"00ff"}'
    found = entry_hash(program="in-mi-tokens", draw_id="rewardmi", number=7, member_id="m-1", salt="00ff")
    assert found == sha256(text.encode()).hexdigest()


@given(st.data())
@settings(max_examples=cases(60))
def test_every_field_of_the_terms_changes_the_root(data: st.DataObject) -> None:
    made = certificate()
    terms = terms_of(made)
    name = data.draw(st.sampled_from(terms.__struct_fields__))
    value = getattr(terms, name)
    other = data.draw(
        {
            str: st.text(max_size=5),
            int: st.integers(0, 1 << 50),
        }.get(type(value), st.datetimes()).filter(lambda found: found != value)
    )
    changed = msgspec.structs.replace(terms, **{name: other})
    assert root_of(changed, made.entries) != made.root


@given(st.integers(1, 60), st.integers(1, 70), st.binary(min_size=48, max_size=48))
@settings(max_examples=cases(80))
def test_winners_are_entries_and_none_wins_twice(count: int, prizes: int, signature: bytes) -> None:
    numbers = list(range(3, 3 + 5 * count, 5))
    winners = winners_of("ab" * 32, signature.hex(), numbers, prizes)
    assert len(winners) == len(set(winners)) == min(count, prizes)
    assert set(winners) <= set(numbers)
    assert winners == winners_of("ab" * 32, signature.hex(), numbers, prizes)
    # A prize more does not take one from anybody.
    assert winners_of("ab" * 32, signature.hex(), numbers, prizes + 1)[: len(winners)] == winners


def test_each_entry_wins_about_as_often_at_each_place() -> None:
    places: list[Counter[int]] = [Counter(), Counter(), Counter()]
    for n in range(2_000):
        for place, number in enumerate(winners_of(f"{n:064x}", SIGNATURE, [1, 2, 3, 4, 5], 3)):
            places[place][number] += 1
    for counts in places:
        chi_squared = sum((counts[number] - 400) ** 2 / 400 for number in range(1, 6))
        assert chi_squared < 18.5, "beyond the 0.1 % point of four degrees of freedom"


def test_the_round_is_the_first_one_after_the_wait() -> None:
    made = certificate()
    assert made.round.number == ROUND
    named = named_round(QUICKNET, closes_at=CLOSES_AT, round_after=timedelta(), published_at=CLOSES_AT)
    assert QUICKNET.time_of(named) > CLOSES_AT >= QUICKNET.time_of(named - 1)


def test_a_root_that_is_published_too_late_gets_a_later_round() -> None:
    made = certificate()
    emitted = QUICKNET.time_of(ROUND)
    step = emitted - made.closes_at
    late = named_round(QUICKNET, closes_at=made.closes_at, round_after=step, published_at=emitted + step)
    assert QUICKNET.time_of(late) > emitted + 2 * step
    just = replace(made, published_at=emitted)
    named = named_round(QUICKNET, closes_at=just.closes_at, round_after=step / 2, published_at=emitted)
    assert QUICKNET.time_of(named) > emitted
