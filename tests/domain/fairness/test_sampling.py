"""Numbers follow from a seed, for everyone the same and each as likely as any other."""

import hmac
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.fairness.canonical import canonical, digest
from engage.domain.fairness.sampling import sample

SEED = bytes(range(32))


def test_the_canonical_text_is_sorted_compact_json() -> None:
    assert canonical({"b": [1, None, True], "a": "é"}) == '{"a":"é","b":[1,null,true]}'.encode()
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    # `printf '{"a":2,"b":1}' | sha256sum`
    assert digest({"a": 2, "b": 1}) == "d3626ac30a87e6f7a6428233b3c68299976865fa5508e4267c5415c76af7a772"


def test_a_sample_is_what_its_definition_says() -> None:
    number = int.from_bytes(hmac.digest(SEED, b'["play",7,0]', "sha256"), "big")
    assert sample(SEED, ["play", 7], 20) == number % 20


def test_attempts_that_would_favour_some_numbers_are_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below = 10
    over = ((1 << 256) // below * below).to_bytes(32, "big")
    answers = {b'["x",0]': over, b'["x",1]': (123).to_bytes(32, "big")}
    monkeypatch.setattr("engage.domain.fairness.sampling.digest", lambda key, text, kind: answers[text])
    assert sample(SEED, ["x"], below) == 3


@given(st.binary(min_size=32, max_size=32), st.integers(1, 1 << 64), st.integers(0, 1000))
def test_samples_are_within_their_range_and_repeat(seed: bytes, below: int, number: int) -> None:
    found = sample(seed, ["play", number], below)
    assert 0 <= found < below
    assert found == sample(seed, ["play", number], below)


def test_every_number_of_a_range_is_about_as_frequent() -> None:
    found = Counter(sample(SEED, ["play", n], 6) for n in range(6_000))
    chi_squared = sum((found[n] - 1_000) ** 2 / 1_000 for n in range(6))
    assert chi_squared < 20.5, "beyond the 0.1 % point of five degrees of freedom"
