"""Signing in with an OpenID Connect provider: authorization code flow with PKCE (OpenID Connect Core, 3.1).

The provider says who somebody is, by a verified e-mail address. Who may work here, and as what, is said here:
an address without an operator signs nobody in.
"""

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import httpx
import msgspec
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from cryptography.fernet import InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec import Struct

from engage.decoding.bounded import UNCOMPRESSED, read_at_most
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.operators.sign_in import PATIENCE
from engage.flows.operators.encryption import cipher
from engage.flows.operators.sign_in import NotSignedIn, begin_session
from engage.runtime.services import Services
from engage.settings import Settings, is_confidential, values_of

TIMEOUT_S: Final = 5.0
ANSWER_BYTES: Final = 256 * 1024

LEEWAY_S: Final = 30

# Asymmetric ones: who verifies a signature cannot make it.
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")

_PURPOSE: Final = b"engage sign-in with a provider"

log = structlog.get_logger()


class ProviderFailed(Exception):
    """The provider does not answer, or answers something that is no answer. The message is for the log."""


class _Refused(ProviderFailed):
    """The provider does not know us (RFC 6749, 5.2: invalid_client)."""


class Pending(Struct, frozen=True):
    """The part of a sign-in that a browser keeps, encrypted, while its visitor is with the provider."""

    state: str
    nonce: str
    verifier: str
    next_page: str


class _Metadata(Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(Struct, frozen=True):
    id_token: str


_metadata = msgspec.json.Decoder(_Metadata)
_tokens = msgspec.json.Decoder(_Tokens)
_keys = msgspec.json.Decoder(dict[str, Any])
_pending = msgspec.json.Decoder(Pending)


async def begin(settings: Settings, next_page: str) -> tuple[str, str]:
    """Return the provider's address to go to, and what the browser keeps meanwhile. Raises ProviderFailed."""
    async with _client() as client:
        metadata = await _read_metadata(client, settings)
    state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
    pending = Pending(state, nonce, verifier, next_page)
    address: str = prepare_grant_uri(
        metadata.authorization_endpoint,
        client_id=settings.oidc_client_id,
        response_type="code",
        redirect_uri=settings.oidc_redirect_url,
        scope="openid email",
        state=pending.state,
        nonce=pending.nonce,
        code_challenge=create_s256_code_challenge(pending.verifier),  # type: ignore[no-untyped-call]  # Its own.
        code_challenge_method="S256",
    )
    return address, cipher(settings, _PURPOSE).encrypt(msgspec.json.encode(pending)).decode()


async def finish(services: Services, kept: str, answer: Mapping[str, str]) -> tuple[str, str] | NotSignedIn:
    """Begin the session of the operator whom the provider names. Return its token, and the page to go on to.

    `answer` is the query of the provider's redirect. Raises ProviderFailed; Unavailable.
    """
    pending = _read_pending(services.settings, kept)
    if pending is None or not hmac.compare_digest(answer.get("state", "").encode(), pending.state.encode()):
        return NotSignedIn.PROVIDER
    if "code" not in answer:
        log.info("the provider signs nobody in", error=answer.get("error", "")[:100])
        return NotSignedIn.PROVIDER
    async with _client() as client:
        metadata = await _read_metadata(client, services.settings)
        id_token = await _read_id_token(client, services.settings, metadata, pending, answer["code"])
        keys = await _read(client, metadata.jwks_uri, _keys)
    email = _verified_email(services, metadata, pending, id_token, keys)
    token = await begin_session(services, email)
    return token if isinstance(token, NotSignedIn) else (token, pending.next_page)


def _verified_email(
    services: Services, metadata: _Metadata, pending: Pending, id_token: str, keys: dict[str, Any]
) -> str:
    """The address of a valid ID token (OpenID Connect Core 1.0, 3.1.3.7). Raises ProviderFailed."""
    now = int(services.clock.wall().timestamp())
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_S,
        iss={"essential": True, "value": metadata.issuer},
        aud={"essential": True, "value": services.settings.oidc_client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": pending.nonce},
        email={"essential": True},
        email_verified={"essential": True, "value": True},
    )
    try:
        token = jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=list(ALGORITHMS))  # type: ignore[arg-type]  # A set that was read as JSON.
        registry.validate(token.claims)
    except (JoseError, ValueError) as error:
        raise ProviderFailed(f"no valid ID token: {error}") from error
    return str(token.claims["email"])


async def _read_id_token(
    client: httpx.AsyncClient, settings: Settings, metadata: _Metadata, pending: Pending, code: str
) -> str:
    """Exchange a code for an ID token, with the first client secret that is not refused. A refusal leaves the
    code as it was. Raises ProviderFailed.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": settings.oidc_redirect_url,
        "code_verifier": pending.verifier,
    }
    *others, last = (
        httpx.BasicAuth(settings.oidc_client_id, secret) for secret in values_of(settings.oidc_client_secret)
    )
    for secret in others:
        with suppress(_Refused):
            return await _exchange(client, metadata, form, secret)
    return await _exchange(client, metadata, form, last)


async def _exchange(
    client: httpx.AsyncClient, metadata: _Metadata, form: Mapping[str, str], secret: httpx.BasicAuth
) -> str:
    """Raises ProviderFailed; _Refused where it is not our secret."""
    tokens: _Tokens = await _send(client, "POST", metadata.token_endpoint, _tokens, data=form, auth=secret)
    return tokens.id_token


async def _read_metadata(client: httpx.AsyncClient, settings: Settings) -> _Metadata:
    """Raises ProviderFailed."""
    issuer = settings.oidc_issuer
    found: _Metadata = await _read(
        client, f"{issuer.rstrip('/')}/.well-known/openid-configuration", _metadata
    )
    if found.issuer != issuer:
        raise ProviderFailed(f"the issuer is {found.issuer[:200]}, not {issuer}")
    for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
        # The secret goes there, and the keys that sign come from there.
        if not is_confidential(address):
            raise ProviderFailed(f"not an https URL: {address[:200]}")
    return found


async def _read(client: httpx.AsyncClient, url: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
    return await _send(client, "GET", url, decoder)


async def _send(
    client: httpx.AsyncClient, method: str, url: str, decoder: "msgspec.json.Decoder[Any]", **sent: Any
) -> Any:
    """Send a request and decode its answer, which is bounded in size and time. Raises ProviderFailed."""
    try:
        async with asyncio.timeout(TIMEOUT_S), client.stream(method, url, **sent) as answer:
            body = await read_at_most(answer.aiter_raw(), ANSWER_BYTES)
        if len(body) > ANSWER_BYTES:
            raise ProviderFailed(f"{url} answers too much")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise _Refused(f"{url} answers {answer.status_code}")
        if answer.status_code != httpx.codes.OK:
            raise ProviderFailed(f"{url} answers {answer.status_code}")
        return decode_json(body, decoder)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise ProviderFailed(f"{url}: {error!r}") from error
    except Malformed as error:
        raise ProviderFailed(f"{url}: {error}") from error


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, headers=UNCOMPRESSED)


def _read_pending(settings: Settings, kept: str) -> Pending | None:
    """Decrypt what the browser kept; None for anything else, or when it took too long."""
    try:
        text = cipher(settings, _PURPOSE).decrypt(kept.encode(), ttl=int(PATIENCE.total_seconds()))
        return decode_json(text, _pending)
    except (InvalidToken, Malformed):
        return None
