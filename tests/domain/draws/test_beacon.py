"""Rounds of a beacon are verified with its pinned key, and named by time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from engage.domain.draws.beacon import QUICKNET, is_signed, message_of, sandbox_chain
from tests.domain.draws.rounds import PUBLISHED
from tests.support.generated_cases import cases

SIGNATURE = PUBLISHED[123]


@pytest.mark.parametrize(("number", "signature"), PUBLISHED.items())
def test_published_rounds_of_quicknet_are_verified(number: int, signature: str) -> None:
    assert is_signed(QUICKNET, number, signature)
    assert not is_signed(QUICKNET, number + 1, signature)


def test_the_pinned_parameters_are_those_that_name_the_chain() -> None:
    assert QUICKNET.hash == "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
    assert (QUICKNET.period_s, QUICKNET.genesis) == (3, 1692803367)


@given(st.integers(0, len(SIGNATURE) // 2 - 1), st.integers(1, 255))
@settings(max_examples=cases(60))
def test_no_altered_signature_is_verified(place: int, change: int) -> None:
    octets = bytearray.fromhex(SIGNATURE)
    octets[place] ^= change
    assert not is_signed(QUICKNET, 123, octets.hex())


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "no hexadecimal text",
        SIGNATURE.upper(),
        SIGNATURE[:-2],
        SIGNATURE + "00",
        " " + SIGNATURE,
        (-G1Point.from_compressed_bytes(bytes.fromhex(SIGNATURE))).to_compressed_bytes().hex(),
        G1Point.identity().to_compressed_bytes().hex(),
    ],
)
def test_a_signature_has_one_text(signature: str) -> None:
    assert not is_signed(QUICKNET, 123, signature)


def test_another_key_does_not_verify() -> None:
    secret = Scalar(7)
    chain = replace(QUICKNET, public_key=(G2Point() * secret).to_compressed_bytes().hex())
    assert not is_signed(chain, 123, SIGNATURE)
    assert is_signed(chain, 123, (message_of(123) * secret).to_compressed_bytes().hex())
    # The key at infinity "signs" everything with the signature at infinity.
    nothing = replace(QUICKNET, public_key=G2Point.identity().to_compressed_bytes().hex())
    assert not is_signed(nothing, 123, G1Point.identity().to_compressed_bytes().hex())


def test_points_outside_the_group_are_refused() -> None:
    # On the curve, of another order: x = 4 has a y, and no subgroup check would let it pass.
    assert not is_signed(QUICKNET, 123, (0x80 << 376 | 4).to_bytes(48, "big").hex())


@given(st.integers(1, 1 << 40))
def test_the_first_round_after_an_instant_is_strictly_later(number: int) -> None:
    chain = sandbox_chain("")
    if number > 20_000_000_000:  # Beyond the year 9999 there are no instants.
        number %= 20_000_000_000
    at = chain.time_of(max(number, 1))
    assert chain.first_after(at) == max(number, 1) + 1
    assert chain.first_after(at - timedelta(microseconds=1)) == max(number, 1)


def test_before_the_first_round_the_first_one_comes_next() -> None:
    assert QUICKNET.first_after(datetime(2017, 6, 15, tzinfo=UTC)) == 1
    assert QUICKNET.time_of(1) == datetime(2023, 8, 23, 15, 9, 27, tzinfo=UTC)
