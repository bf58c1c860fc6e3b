"""Tokens: signed by the shop's own keys, for us, recently, and not for long."""

import asyncio
import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from engage.clock import MachineClock
from engage.domain.identity import Identity
from engage.domain.refusals import Refusal, Unavailable
from engage.live_settings import LiveSettings
from engage.sandbox_secrets import SandboxSecrets
from engage.settings import Settings, SettingsError
from engage.tokens import verifier as verifying
from engage.tokens.signing import sign
from engage.tokens.verifier import TokenVerifier, open_verifier
from tests.support.eventually import eventually
from tests.support.key_set_server import TRUSTED, KeySetServer, key_set_server
from tests.support.rotation import write_secret

ANA = "eu-mi-points", "ana"
CLOCK = MachineClock()
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
ED_JWK: dict[str, Any] = OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True) | {"kid": "ed"}
EC_JWK: dict[str, Any] = ECAlgorithm.to_jwk(EC.public_key(), as_dict=True) | {"kid": "ec"}
RSA_JWK: dict[str, Any] = RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True) | {"kid": "rsa"}


def settings(jwks: object, **changed: Any) -> Settings:
    nowhere = "redis://nowhere"
    return Settings(
        database_url="postgresql+asyncpg://nowhere",
        state_url=nowhere,
        queue_url=nowhere,
        topics_url=nowhere,
        jwks=str(jwks),
        **changed,
    )


def live(jwks: object, **changed: Any) -> LiveSettings:
    return LiveSettings(settings(jwks, **changed))


def write(file: Path, *keys: dict[str, Any]) -> Path:
    """Replace the file atomically, as a key rotation must."""
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({"keys": keys}))
    return draft.replace(file)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write(tmp_path / "jwks.json", ED_JWK, EC_JWK)


@pytest.fixture
async def verifier(keys: Path) -> TokenVerifier:
    return await open_verifier(live(keys), CLOCK)


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a valid token. A claim that is None is left out."""
    now = int(CLOCK.wall().timestamp())
    good = {
        "iss": "engage",
        "aud": "engage",
        "sub": "ana",
        "program": "eu-mi-points",
        "iat": now,
        "exp": now + 900,
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(key: Any = ED, algorithm: str = "EdDSA", kid: object = "ed", **changed: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changed), key, algorithm, headers=headers)


def member(identity: Identity) -> tuple[str, str]:
    return identity.program_id, identity.member_id


def refused(verifier: TokenVerifier, bad: str) -> bool:
    with pytest.raises(Refusal) as refusal:
        verifier.verify(bad)
    return (refusal.value.code, refusal.value.status) == ("unauthorized", 401)


async def test_a_good_token_identifies_its_member(verifier: TokenVerifier) -> None:
    assert member(verifier.verify(token())) == ANA
    assert member(verifier.verify(token(EC, "ES256", "ec"))) == ANA
    assert member(verifier.verify(token(aud=["others", "engage"]))) == ANA


async def test_a_device_is_hashed_with_the_pepper_in_force(keys: Path, tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    write_secret(path, "the pepper of before")
    rotating = live(keys, pepper="the pepper of before", secret_files={"pepper": path})
    verifier, cached = await open_verifier(rotating, CLOCK), token(device="9f:A1")
    before = verifier.verify(cached).device
    write_secret(path, "the pepper of today", "the pepper of before")
    await rotating.refresh()
    today = await open_verifier(live(keys, pepper="the pepper of today"), CLOCK)
    assert before != verifier.verify(cached).device == today.verify(cached).device


async def test_a_token_may_name_a_device(keys: Path) -> None:
    """It is known again by a hash, which is another one with another pepper and in another program."""
    verifier = await open_verifier(live(keys, pepper="ours"), CLOCK)
    first = verifier.verify(token(device="9f:A1", device_attested=True))
    assert first.attested
    assert len(first.device) == 32
    again = verifier.verify(token(sub="bea", device="9f:A1"))
    assert (again.device, again.attested) == (first.device, False)
    other = await open_verifier(live(keys, pepper="other"), CLOCK)
    devices = {
        first.device,
        other.verify(token(device="9f:A1")).device,
        verifier.verify(token(device="9f:A2")).device,
        verifier.verify(token(device="9f:A1", program="es-mi-points")).device,
    }
    assert len(devices) == 4


@pytest.mark.parametrize(
    "unnamed", [{}, {"device": ""}, {"device": " "}, {"device_attested": True}, {"device": None}]
)
async def test_without_a_device_nothing_is_attested(verifier: TokenVerifier, unnamed: dict[str, Any]) -> None:
    found = verifier.verify(token(**{"device_attested": True} | unnamed))
    assert (found.device, found.attested) == (b"", False)


@pytest.mark.parametrize(
    "wrong", [{"device": 7}, {"device": "x" * 129}, {"device": "x", "device_attested": "yes"}]
)
async def test_a_device_that_is_none_is_no_token(verifier: TokenVerifier, wrong: dict[str, Any]) -> None:
    assert refused(verifier, token(**wrong))


NOW = int(CLOCK.wall().timestamp())


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "somebody"},
        {"aud": "somebody"},
        {"iss": None},
        {"aud": None},
        {"sub": None},
        {"exp": None},
        {"iat": None},
        {"program": None},
        {"sub": "{braces}"},
        {"sub": ""},
        {"sub": "a\n"},
        {"sub": 7},
        {"program": "EU"},
        {"program": ["eu-mi-points"]},
        {"exp": NOW - 1, "iat": NOW - 500},
        {"exp": NOW + 2_000, "iat": NOW},
        {"exp": NOW + 700, "iat": NOW - 300},
        {"exp": NOW + 4_000, "iat": NOW + 3_600},
        {"nbf": NOW + 86_400},
        {"exp": "soon"},
        {"exp": NOW + 0.5},
        {"exp": -1},
        {"exp": 10**30},
        {"iat": 10**30, "exp": 10**30 + 1},
    ],
    ids=",".join,  # Stable ids: the times differ in each run.
)
async def test_a_token_with_a_wrong_claim_is_refused(verifier: TokenVerifier, wrong: dict[str, Any]) -> None:
    assert refused(verifier, token(**wrong))


async def test_a_provider_whose_clock_is_slightly_ahead_is_accepted(verifier: TokenVerifier) -> None:
    ahead = int(CLOCK.wall().timestamp()) + 20
    assert member(verifier.verify(token(iat=ahead, nbf=ahead, exp=ahead + 900))) == ANA


async def test_a_signature_by_another_key_is_refused(verifier: TokenVerifier) -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    assert refused(verifier, token(other))
    assert refused(verifier, token(EC, "ES256", "ed")), "the key says which algorithm it is for"
    assert refused(verifier, token(ED, "EdDSA", "ec"))
    assert refused(verifier, token(ED, kid="unknown"))
    assert refused(verifier, token(ED, kid=None))
    assert refused(verifier, token("", "none", "ed"))


async def test_a_public_key_cannot_be_used_as_an_hmac_secret(verifier: TokenVerifier) -> None:
    """The algorithm confusion attack: HS256 with the public key as the secret."""
    pem = ED.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = base64url({"alg": "HS256", "typ": "JWT", "kid": "ed"})
    signed = f"{head}.{base64url(claims())}"
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed.encode(), pem)
    assert refused(verifier, f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def base64url(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "junk",
    ["", ".", "..", "a.b.c", "é.é.é", "\x00", "e30.e30.", "W10.e30.e30", "x" * 5_000, "A" * 4_000 + ".e30."],
    ids=range(10),
)
async def test_a_malformed_token_is_refused(verifier: TokenVerifier, junk: str) -> None:
    assert refused(verifier, junk)


NESTED = "[" * 2_000 + "]" * 2_000
DIGITS = "9" * 3_000


@pytest.mark.parametrize("value", [NESTED[1_000:3_000], NESTED, DIGITS, f"{DIGITS}e{DIGITS}"], ids=range(4))
async def test_a_hostile_header_or_claim_is_refused(verifier: TokenVerifier, value: str) -> None:
    """Also where it is signed, and below the limits of Python's own decoder."""
    header = segment(f'{{"alg": "EdDSA", "typ": "JWT", "kid": "ed", "x": {value}}}')
    assert refused(verifier, f"{header}.{base64url(claims())}.e30")
    payload = json.dumps(claims()).removesuffix("}") + f', "exp": {value}}}'
    signed = f"{base64url({'alg': 'EdDSA', 'typ': 'JWT', 'kid': 'ed'})}.{segment(payload)}"
    assert refused(verifier, f"{signed}.{segment(ED.sign(signed.encode()))}")


# A loaded machine is slow: what bounds the time here is the length of the text.
@given(
    st.lists(st.binary(max_size=200).map(lambda octets: segment(octets)) | st.text(max_size=200), max_size=4)
)
async def test_no_text_for_a_token_is_an_error(parts: list[str]) -> None:
    verifier = TokenVerifier(live("nowhere"), CLOCK, "https://nowhere")
    with pytest.raises((Refusal, Unavailable)):
        verifier.verify(".".join(parts))


def segment(content: str | bytes) -> str:
    octets = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


async def test_a_token_with_a_changed_byte_is_refused(verifier: TokenVerifier) -> None:
    good = token()
    assert member(verifier.verify(good)) == ANA
    for at in range(0, len(good), 7):
        other = "A" if good[at] != "A" else "B"
        changed = good[:at] + other + good[at + 1 :]
        assert refused(verifier, changed), at


async def test_a_cached_token_is_refused_once_it_expires(keys: Path) -> None:
    class Later(MachineClock):
        ahead = timedelta()

        def wall(self) -> datetime:
            return super().wall() + self.ahead

    clock = Later()
    verifier = await open_verifier(live(keys), clock)
    good = token()
    assert member(verifier.verify(good)) == member(verifier.verify(good)) == ANA
    clock.ahead = timedelta(seconds=899)
    assert member(verifier.verify(good)) == ANA
    clock.ahead = timedelta(seconds=901)
    assert refused(verifier, good)


async def test_the_cache_of_tokens_is_bounded(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "TOKENS_CACHED", 10)
    verifier = await open_verifier(live(keys), CLOCK)
    for n in range(25):
        assert verifier.verify(token(sub=f"m-{n}")).member_id == f"m-{n}"
    assert len(verifier._verified) == 10


async def test_sandbox_tokens_are_valid_for_a_day(tmp_path: Path) -> None:
    private = OKPAlgorithm.to_jwk(ED, as_dict=True) | {"kid": "ed"}
    secrets = SandboxSecrets(
        signing_key=private,
        shop_key="",
        admin_key="",
        approver_key="",
        pepper="",
        admin_password="",
        approver_password="",
    )
    file = write(tmp_path / "jwks.json", ED_JWK)
    day = timedelta(hours=24)
    long = sign(secrets, "eu-mi-points", "ana", day)
    sandbox = await open_verifier(live(file, sandbox=tmp_path / "sandbox.json"), CLOCK)
    assert member(sandbox.verify(long)) == ANA
    assert refused(sandbox, sign(secrets, "eu-mi-points", "ana", day + timedelta(seconds=1)))
    shop = await open_verifier(live(file), CLOCK)
    assert refused(shop, long)
    assert member(shop.verify(sign(secrets, "eu-mi-points", "ana", timedelta(minutes=15)))) == ANA


async def test_a_key_added_to_the_file_is_found_with_its_first_token(keys: Path) -> None:
    verifier = await open_verifier(live(keys), CLOCK)
    new = ed25519.Ed25519PrivateKey.generate()
    first = token(new, kid="new")
    assert refused(verifier, first)
    write(keys, ED_JWK, OKPAlgorithm.to_jwk(new.public_key(), as_dict=True) | {"kid": "new"})
    assert member(verifier.verify(first)) == ANA


async def test_cached_tokens_of_a_withdrawn_key_are_refused(keys: Path) -> None:
    verifier = await open_verifier(live(keys, jwks_max_age_s=0), CLOCK)
    good = token()
    assert member(verifier.verify(good)) == ANA
    write(keys, EC_JWK)
    assert member(verifier.verify(token(EC, "ES256", "ec"))) == ANA
    assert refused(verifier, good)


async def test_keys_in_use_that_leave_the_file_are_withdrawn(keys: Path) -> None:
    verifier = await open_verifier(live(keys), CLOCK)
    ed, ec_ = verifier.verify(token()).key, verifier.verify(token(EC, "ES256", "ec")).key
    assert await verifier.withdrawn({ed, ec_}) == set()
    write(keys, ED_JWK)
    assert await verifier.withdrawn({ed, ec_}) == {ec_}
    assert refused(verifier, token(EC, "ES256", "ec"))
    other: dict[str, Any] = OKPAlgorithm.to_jwk(
        ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True
    )
    write(keys, other | {"kid": "ed"})
    assert await verifier.withdrawn({ed}) == {ed}, "the same kid is another key"
    keys.write_text("broken")
    assert await verifier.withdrawn({"new"}) == set(), "what cannot be read withdraws nothing"


async def test_a_broken_key_file_leaves_the_keys_read_before(keys: Path) -> None:
    verifier = await open_verifier(live(keys, jwks_max_age_s=0), CLOCK)
    keys.write_text("{")
    assert member(verifier.verify(token())) == ANA
    keys.unlink()
    assert verifier.verify(token(sub="bea")).member_id == "bea"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"keys": []}',
        json.dumps({"keys": [RSA_JWK]}),
        json.dumps({"keys": [ED_JWK | {"use": "enc"}]}),
        json.dumps({"keys": [ED_JWK | {"alg": "HS256"}]}),
        json.dumps({"keys": [ED_JWK | {"kid": ""}]}),
        json.dumps({"keys": [ED_JWK | {"x": "short"}]}),
        json.dumps({"keys": [EC_JWK | {"crv": "P-384"}]}),
        json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "ed"}]}),
        " " * 300_000,
    ],
    ids=range(11),
)
async def test_a_key_file_without_usable_keys_is_a_settings_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match="ENGAGE_JWKS"):
        await open_verifier(live(file), CLOCK)


@pytest.mark.parametrize("jwks", ["", "/nowhere/jwks.json", "http://127.0.0.1/jwks.json", "ftp://x/y"])
async def test_a_location_without_keys_is_a_settings_error(jwks: str) -> None:
    with pytest.raises(SettingsError, match="ENGAGE_JWKS"):
        await open_verifier(live(jwks), CLOCK)


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeySetServer]:
    with key_set_server(tmp_path) as serving:
        serving.keys = [ED_JWK]
        monkeypatch.setenv(TRUSTED, str(serving.certificate))
        yield serving


async def test_a_remote_key_set_is_fetched_over_https(provider: KeySetServer) -> None:
    verifier = await open_verifier(live(provider.url), CLOCK)
    assert member(verifier.verify(token())) == ANA
    assert provider.requests == 1


async def test_a_url_that_cannot_be_fetched_keeps_nobody_from_starting() -> None:
    verifier = await open_verifier(live("https://[::1/jwks"), CLOCK)
    with pytest.raises(Unavailable):
        verifier.verify(token())


async def test_any_number_of_unknown_key_ids_causes_one_fetch(provider: KeySetServer) -> None:
    verifier = await open_verifier(live(provider.url), CLOCK)
    for n in range(50):
        assert refused(verifier, token(kid=f"made-up-{n}"))
        await verifier.close()
    assert provider.requests == 2, "at the start, and for the first of them"


async def test_a_new_remote_key_is_accepted_with_its_first_token(provider: KeySetServer) -> None:
    """Also where several come at once, right after the set was fetched."""
    verifier = await open_verifier(live(provider.url), CLOCK)
    provider.keys = [ED_JWK, EC_JWK]
    first = [token(EC, "ES256", "ec", sub=f"m-{n}") for n in range(3)]
    found = await asyncio.gather(*map(verifier.identify, first))
    assert [each.member_id for each in found] == ["m-0", "m-1", "m-2"]
    assert provider.requests == 2


async def test_a_token_with_a_made_up_key_is_refused_when_the_set_was_looked_at(
    provider: KeySetServer,
) -> None:
    verifier = await open_verifier(live(provider.url), CLOCK)
    for kid in ("made-up-1", "made-up-2"):
        with pytest.raises(Refusal) as refusal:
            await verifier.identify(token(kid=kid))
        assert refusal.value.code == "unauthorized"
    assert provider.requests == 2


async def test_who_no_longer_waits_for_a_key_set_keeps_nobody_else_from_it(provider: KeySetServer) -> None:
    verifier = await open_verifier(live(provider.url), CLOCK)
    provider.keys = [EC_JWK]
    impatient, patient = (
        asyncio.create_task(verifier.identify(token(EC, "ES256", "ec", sub=member_id)))
        for member_id in ("ana", "bea")
    )
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).member_id == "bea"
    assert impatient.cancelled()


async def test_an_old_remote_key_set_is_fetched_in_the_background(provider: KeySetServer) -> None:
    verifier = await open_verifier(live(provider.url, jwks_max_age_s=0), CLOCK)
    assert member(verifier.verify(token())) == ANA, "nobody waits for it"
    await eventually(lambda: provider.requests == 2)
    await verifier.close()


async def test_a_key_in_use_that_the_remote_set_may_have_now_is_looked_for_first(
    provider: KeySetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "RETRY_S", 0.0)
    verifier = await open_verifier(live(provider.url), CLOCK)
    fetched = provider.requests
    in_use = {verifier.verify(token()).key}
    assert await verifier.withdrawn(in_use) == set()
    assert provider.requests == fetched, "a set that has all keys in use is not fetched"
    assert await verifier.withdrawn({*in_use, "of another process"}) == {"of another process"}
    assert provider.requests == fetched + 1


async def test_a_key_that_left_the_remote_set_is_withdrawn_without_another_look(
    provider: KeySetServer,
) -> None:
    """A token with a new key has shown that the old one is gone: connections need not wait for the age."""
    verifier = await open_verifier(live(provider.url), CLOCK)
    cached = token()
    in_use = {verifier.verify(cached).key}
    provider.keys = [EC_JWK]
    await verifier.identify(token(EC, "ES256", "ec"))
    fetched = provider.requests
    assert refused(verifier, cached)
    await verifier.close()
    assert await verifier.withdrawn(in_use) == in_use
    assert provider.requests == fetched


async def test_a_remote_set_that_is_old_withdraws_keys(provider: KeySetServer) -> None:
    verifier = await open_verifier(live(provider.url, jwks_max_age_s=0), CLOCK)
    cached = token()
    in_use = {verifier.verify(cached).key}
    await verifier.close()
    provider.keys = [EC_JWK]
    assert await verifier.withdrawn(frozenset()) == set(), "a process without connections looks, too"
    assert refused(verifier, cached)
    assert await verifier.withdrawn(in_use) == in_use


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_without_any_key_the_service_is_unavailable(
    provider: KeySetServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    provider.status = status
    verifier = await open_verifier(live(provider.url), CLOCK)
    assert provider.requests == 1, "a redirect is not followed"
    with pytest.raises(Unavailable):
        await verifier.identify(token())
    provider.status = 200
    monkeypatch.setattr(verifying, "LOOK_AGAIN_S", 0.0)
    assert member(await verifier.identify(token())) == ANA


async def test_a_provider_that_fails_later_leaves_the_known_keys(provider: KeySetServer) -> None:
    verifier = await open_verifier(live(provider.url, jwks_max_age_s=0), CLOCK)
    provider.status = 500
    assert member(verifier.verify(token())) == ANA
    await verifier.close()
    assert verifier.verify(token(sub="bea")).member_id == "bea"
    await verifier.close()


async def test_an_untrusted_certificate_is_rejected(
    provider: KeySetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUSTED)
    verifier = await open_verifier(live(provider.url), CLOCK)
    with pytest.raises(Unavailable):
        verifier.verify(token())


async def test_a_remote_key_set_over_the_size_limit_is_not_read(provider: KeySetServer) -> None:
    provider.keys = [ED_JWK | {"x5c": ["x" * 300_000]}]
    verifier = await open_verifier(live(provider.url), CLOCK)
    with pytest.raises(Unavailable):
        verifier.verify(token())
