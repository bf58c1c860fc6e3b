"""Signing in to the console with an OpenID Connect provider."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from msgspec.structs import replace

from engage.domain.operators.sign_in import ATTEMPTS
from engage.settings import Settings
from tests.console.browsing import Browser, Browsing, Page, browsing
from tests.console.identity_provider import CLIENT, IdentityProvider, identity_provider
from tests.support.clock import NOON, StoppedClock
from tests.support.rotation import write_secret

REDIRECT = "http://localhost/console/provider/answer"


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_provider() as opened:
        yield opened


@pytest.fixture(scope="module")
async def console(installed: Settings, provider: IdentityProvider) -> AsyncIterator[Browsing]:
    settings = replace(
        installed,
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT,
        oidc_client_secret="secret",
        oidc_redirect_url=REDIRECT,
    )
    async with browsing(settings, StoppedClock(NOON)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def usual(provider: IdentityProvider) -> None:
    provider.claims, provider.tokens_status, provider.signing_key = {}, 200, provider.key
    provider.endpoints, provider.secrets = {}, None


async def leave(browser: Browser, next_page: str = "/console/account") -> str:
    """Go to the provider; its address."""
    browser.client.follow_redirects = False
    page = await browser.open(f"/console/provider/go?next={next_page}")
    assert page.status == 303, page.text
    return str(page.answer.headers["location"])


async def come_back(browser: Browser, query: str) -> Page:
    browser.client.follow_redirects = True
    return await browser.open(f"/console/provider/answer?{query}")


async def sign_in(console: Browsing, provider: IdentityProvider, email: str) -> Page:
    browser = console.window()
    address = await leave(browser)
    query = provider.answer_to(address, email, now=int(console.services.clock.wall().timestamp()))
    return await come_back(browser, query)


async def test_a_verified_address_signs_its_operator_in(
    console: Browsing, provider: IdentityProvider
) -> None:
    email = await console.operator("finance")
    page = await sign_in(console, provider, email.upper())
    assert (page.status, page.path) == (200, "/console/account")
    assert email in page.text
    assert provider.asked["scope"] == ["openid email"]
    assert provider.asked["redirect_uri"] == provider.exchanged["redirect_uri"] == [REDIRECT]
    assert provider.asked["code_challenge_method"] == ["S256"]
    assert provider.exchanged["code_verifier"][0] not in str(provider.asked)


async def test_an_address_without_an_operator_signs_nobody_in(
    console: Browsing, provider: IdentityProvider
) -> None:
    page = await sign_in(console, provider, "nobody@shop.example")
    assert (page.status, "does not open this console" in page.text) == (403, True)


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"aud": "another"},
        {"iss": "https://another.example"},
        {"nonce": "another"},
        {"exp": 1},
    ],
    ids=str,
)
async def test_a_token_that_is_not_valid_signs_nobody_in(
    console: Browsing, provider: IdentityProvider, claims: dict[str, Any]
) -> None:
    email = await console.operator("viewer")
    provider.claims = claims
    page = await sign_in(console, provider, email)
    assert (page.status, "does not answer" in page.text) == (502, True)


async def test_a_token_with_another_key_signs_nobody_in(
    console: Browsing, provider: IdentityProvider
) -> None:
    email = await console.operator("viewer")
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "k1"})
    assert (await sign_in(console, provider, email)).status == 502


async def test_an_answer_for_another_browser_signs_nobody_in(
    console: Browsing, provider: IdentityProvider
) -> None:
    """Otherwise a page could sign its visitor in as somebody else."""
    email, victim = await console.operator("viewer"), console.window()
    address = await leave(console.window())
    query = provider.answer_to(address, email, now=int(console.services.clock.wall().timestamp()))
    assert (await come_back(victim, query)).status == 403
    await leave(victim)
    assert (await come_back(victim, query)).status == 403


async def test_a_provider_that_refuses_or_fails_changes_nothing(
    console: Browsing, provider: IdentityProvider
) -> None:
    email = await console.operator("viewer")
    browser = console.window()
    await leave(browser)
    assert (await come_back(browser, "error=access_denied&state=x")).status == 403
    provider.tokens_status = 500
    assert (await sign_in(console, provider, email)).status == 502
    assert (await console.window().sign_in(email)).status == 200


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("address", ["http://elsewhere.example/", "https://[", "//elsewhere.example"])
async def test_a_provider_cannot_name_an_address_that_others_can_listen_to(
    console: Browsing, provider: IdentityProvider, name: str, address: str
) -> None:
    """The secret would go there in clear."""
    provider.endpoints = {name: address}
    assert (await console.window().open("/console/provider/go?next=/console/account")).status == 502


async def test_a_provider_cannot_name_an_address_that_is_none(
    console: Browsing, provider: IdentityProvider
) -> None:
    email = await console.operator("viewer")
    provider.endpoints = {"token_endpoint": "https://elsewhere.example:port/"}
    assert (await sign_in(console, provider, email)).status == 502


async def test_a_locked_out_password_does_not_lock_the_provider_out(
    console: Browsing, provider: IdentityProvider
) -> None:
    email, browser = await console.operator("viewer"), console.window()
    for _ in range(ATTEMPTS):
        await browser.sign_in(email, "a wrong password")
    assert (await sign_in(console, provider, email)).path == "/console/account"


async def test_the_client_secret_is_rotated(
    installed: Settings, provider: IdentityProvider, tmp_path: Path
) -> None:
    """A provider that knows one secret at a time: both are in the file until it has the new one."""
    path = tmp_path / "secret"
    write_secret(path, "old")
    settings = replace(
        installed,
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT,
        oidc_client_secret="old",
        oidc_redirect_url=REDIRECT,
        secret_files={"oidc_client_secret": path},
    )
    async with browsing(settings, StoppedClock(NOON)) as console:

        async def status_of_sign_in(*secrets: str) -> int:
            write_secret(path, *secrets)
            await console.services.live.refresh()
            return (await sign_in(console, provider, email)).status

        email = await console.operator("viewer")
        provider.secrets = {"old"}
        assert await status_of_sign_in("new", "old") == 200
        provider.secrets = {"new"}
        assert await status_of_sign_in("new", "old") == 200
        assert await status_of_sign_in("new") == 200
        assert await status_of_sign_in("old") == 502
