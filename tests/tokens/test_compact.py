"""The compact form of tokens: what we accept, PyJWT accepts too, and the other way round."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from engage.decoding.malformed import Malformed
from engage.tokens.compact import parse
from engage.tokens.key_sets import Key, parse_keys

ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
SIGNING: dict[str, tuple[Any, str]] = {"ed": (ED, "EdDSA"), "ec": (EC, "ES256")}
JWKS: list[dict[str, Any]] = [
    OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True) | {"kid": "ed"},
    ECAlgorithm.to_jwk(EC.public_key(), as_dict=True) | {"kid": "ec"},
]
KEYS = parse_keys(json.dumps({"keys": JWKS}).encode())

CLAIMS = {"sub": "ana", "text": "áñ?>~", "n": 7}
# All of base64url, what comes near it, and what ends a segment.
CHARACTERS = "ABCxyz019-_=+/. \n\té"


def token_of(kid: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    key, algorithm = SIGNING[kid]
    return jwt.encode(claims, key, algorithm, headers={"kid": kid} | header)


def accepted(token: str) -> bytes | None:
    """The claims of a token that is signed by the key that it names."""
    try:
        parsed = parse(token)
    except Malformed:
        return None
    key = KEYS.get(parsed.header.kid)
    if key is None or key.algorithm != parsed.header.alg or not key.verify(parsed.signed, parsed.signature):
        return None
    return parsed.claims


def accepted_by_library(token: str) -> bytes | None:
    jws = jwt.PyJWS()
    for key in KEYS.values():
        try:
            found: bytes = jws.decode(token, jwt.PyJWK(key.members, key.algorithm))
            named = jws.get_unverified_header(token)["kid"]
        except (jwt.InvalidTokenError, ValueError, KeyError):
            continue
        return found if named == key.members["kid"] else None
    return None


@given(st.sampled_from(["ed", "ec"]), st.dictionaries(st.sampled_from("abc"), st.text(max_size=9)))
def test_what_the_library_signs_is_accepted(kid: str, claims: dict[str, Any]) -> None:
    token = token_of(kid, {}, claims)
    assert accepted(token) == accepted_by_library(token) == json.dumps(claims, separators=(",", ":")).encode()


@given(
    kid=st.sampled_from(["ed", "ec"]),
    at=st.integers(0, 400),
    put=st.text(CHARACTERS, max_size=3),
    cut=st.integers(0, 3),
)
def test_a_changed_token_is_accepted_by_both_or_by_none(kid: str, at: int, put: str, cut: int) -> None:
    token = token_of(kid, {}, CLAIMS)
    at %= len(token) + 1
    changed = token[:at] + put + token[at + cut :]
    assert accepted(changed) == accepted_by_library(changed)


@given(
    st.sampled_from(["ed", "ec"]),
    st.dictionaries(
        st.sampled_from(["kid", "alg", "typ", "x", "b64"]),
        st.sampled_from(
            ["ed", "ec", "other", "EdDSA", "ES256", "HS256", "none", "JWT", "", 7, None, True, False]
        ),
    ),
)
def test_a_signed_header_of_any_kind_is_accepted_by_none_that_the_library_refuses(
    kid: str, header: dict[str, Any]
) -> None:
    key, algorithm = SIGNING[kid]
    head = {"kid": kid, "alg": algorithm} | header
    signed = f"{segment(json.dumps(head).encode())}.{segment(b'{}')}"
    signature = jwt.PyJWS().get_algorithm_by_name(algorithm).sign(signed.encode(), key)
    token = f"{signed}.{segment(signature)}"
    if accepted(token) is not None:
        assert accepted_by_library(token) == b"{}"


@pytest.mark.parametrize("crit", [["x"], ["b64"], [], "x", None])
def test_an_extension_that_we_do_not_know_is_refused(crit: object) -> None:
    with pytest.raises(Malformed, match="extension"):
        parse(signed_with({"crit": crit, "x": 1, "b64": True}))
    assert accepted(signed_with({"x": 1, "b64": True})) is not None


def signed_with(header: dict[str, Any]) -> str:
    signed = f"{segment(json.dumps({'kid': 'ed', 'alg': 'EdDSA'} | header).encode())}.{segment(b'{}')}"
    return f"{signed}.{segment(ED.sign(signed.encode()))}"


def test_a_segment_may_be_padded_and_has_no_other_spelling() -> None:
    head, claims, signature = signed_with({}).split(".")
    assert len(signature) % 4 == 2
    for ending, good in {"": True, "==": True, "=": False, "===": False, "====": False, "\n": False}.items():
        token = f"{head}.{claims}.{signature}{ending}"
        assert (accepted(token) is not None) is (accepted_by_library(token) is not None) is good, ending
    other = signature[:-1] + chr(ord(signature[-1]) + 1)
    assert accepted(f"{head}.{claims}.{other}") is None, "bits that say nothing are zero"


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_wrong(length: int) -> None:
    keys: list[Key] = list(KEYS.values())
    assert [key.verify(b"text", bytes(length)) for key in keys] == [False, False]


def segment(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
