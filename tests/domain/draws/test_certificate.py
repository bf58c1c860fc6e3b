"""A certificate proves its winners, and no altered one does."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from py_arkworks_bls12381 import G2Point, Scalar

from engage.decoding.malformed import Malformed
from engage.domain.draws.beacon import QUICKNET, message_of, sandbox_chain
from engage.domain.draws.certificate import CertifiedRound, DrawCertificate, certified, faults
from engage.domain.draws.reading import read_certificate
from tests.domain.draws.rounds import CLOSES_AT, ROUND, certificate, sign
from tests.support.generated_cases import cases

SOUND = certificate(7, prizes=3)
BUILTINS: dict[str, Any] = msgspec.to_builtins(SOUND)


def is_proved(text: bytes) -> bool:
    try:
        return not faults(read_certificate(text))
    except Malformed:
        return False


def written(value: Any) -> bytes:
    return msgspec.json.encode(value)


def test_a_certificate_proves_its_winners() -> None:
    assert faults(SOUND) == []
    assert is_proved(written(SOUND))
    assert faults(certificate(1, prizes=3)) == [], "with fewer entries than prizes all win"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of every value, of objects and lists too."""
    match value:
        case dict():
            inner = [place for name in value for place in places(value[name], (*path, name))]
        case list():
            inner = [place for n in range(len(value)) for place in places(value[n], (*path, n))]
        case _:
            inner = []
    return [*([path] if path else []), *inner]


def altered(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    if isinstance(value, dict):
        return value | {first: altered(value[first], tuple(rest), new)}
    return [altered(item, tuple(rest), new) if n == first else item for n, item in enumerate(value)]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def neighbours(value: Any) -> list[Any]:
    """Other values of the same type, some of them very close."""
    match value:
        case int():
            return [value + 1, value - 1, 0, value * 2, 1 << 53, str(value)]
        case str():
            digits = {"0": "1", "a": "b", "f": "e"}
            swapped = [value[:-1] + digits.get(value[-1:], "0"), digits.get(value[:1], "0") + value[1:]]
            return [*swapped, value + "0", value[:-1], value.upper(), "", value.replace("Z", "+00:00")]
        case list():
            return [value[:-1], value[1:], value[::-1], [*value, *value[-1:]], []]
        case _:
            return [{}, {**value, "more": 1}, dict(list(value.items())[1:])]


@given(st.sampled_from(places(BUILTINS)), st.data())
@settings(max_examples=cases(400))
def test_no_certificate_with_one_altered_field_proves_anything(
    path: tuple[Any, ...], data: st.DataObject
) -> None:
    value = at(BUILTINS, path)
    new = data.draw(st.sampled_from([*neighbours(value), None]).filter(lambda found: found != value))
    assert not is_proved(written(altered(BUILTINS, path, new)))


@given(st.data())
@settings(max_examples=cases(150))
def test_no_flipped_bit_of_the_text_goes_unnoticed(data: st.DataObject) -> None:
    text = bytearray(written(SOUND))
    text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not is_proved(bytes(text))


def test_every_field_is_altered_by_these_tests() -> None:
    named = {path[0] for path in places(BUILTINS)}
    assert named == set(DrawCertificate.__struct_fields__)


WRONG = [
    ("another algorithm", replace(SOUND, algorithm="engage-draw-2"), "algorithm: 'engage-draw-2'"),
    ("no entries", sign(replace(SOUND, entries=[])), "entries: a draw without entries"),
    ("a number twice", sign(replace(SOUND, entries=[*SOUND.entries, SOUND.entries[-1]])), "do not rise"),
    ("an unknown beacon", sign(replace(SOUND, beacon="ours")), "beacon: 'ours' is not known"),
    (
        "a beacon with another key",
        sign(replace(SOUND, chain=certified(sandbox_chain(QUICKNET.public_key)))),
        "chain: these are not the parameters of the beacon drand-quicknet",
    ),
    ("frozen before the closing", certificate(late=timedelta(seconds=-1)), "published_at: the list was"),
    (
        "an earlier round",
        sign(replace(SOUND, round=CertifiedRound(42, QUICKNET.time_of(42), SOUND.round.signature))),
        f"round.number: the first round later than the closing and round_after_s is {ROUND}",
    ),
    ("the time of another round", replace(SOUND, round=replace(SOUND.round, at=CLOSES_AT)), "round.at:"),
    (
        "not drawn yet",
        replace(SOUND, round=replace(SOUND.round, signature=None), winners=None),
        f"round.signature: the draw waits for round {ROUND}",
    ),
    (
        "winners before the round",
        replace(SOUND, round=replace(SOUND.round, signature=None)),
        "winners: there are none before the round",
    ),
    ("other winners", replace(SOUND, winners=[1, 3, 5]), "winners: root and signature give"),
    ("fewer winners", replace(SOUND, winners=(SOUND.winners or [])[:-1]), "winners: root and signature give"),
    ("a prize more", replace(SOUND, prizes=4), "root: the terms and the entries have the root"),
    ("an impossible time", replace(SOUND, round_after_s=1 << 53), "such a time is not possible"),
]


@pytest.mark.parametrize(("made", "fault"), [wrong[1:] for wrong in WRONG], ids=[wrong[0] for wrong in WRONG])
def test_a_fault_is_named(made: DrawCertificate, fault: str) -> None:
    assert any(fault in found for found in faults(made)), faults(made)


def test_a_late_root_is_bound_to_a_round_after_it() -> None:
    # Published at the very time of the round that was named first: somebody could have known that one.
    late = certificate(late=QUICKNET.time_of(ROUND) - CLOSES_AT)
    assert any("round.number" in found for found in faults(late))


def test_a_certificate_of_a_sandbox_is_proved_and_known_as_such() -> None:
    secret = Scalar(11)
    chain = sandbox_chain((G2Point() * secret).to_compressed_bytes().hex())
    signature = (message_of(ROUND) * secret).to_compressed_bytes().hex()
    made = sign(
        replace(
            SOUND,
            beacon=chain.beacon,
            chain=certified(chain),
            round=CertifiedRound(ROUND, chain.time_of(ROUND), signature),
        )
    )
    assert faults(made) == []
    assert made.is_of_sandbox
    assert not SOUND.is_of_sandbox
