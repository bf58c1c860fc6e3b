"""API7: nobody leads us to a server that no setting names, neither a client nor the server that we ask."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from engage.beacons.drand import DrandBeacon
from engage.domain.withdrawals.withdrawal import Accepted, Paid
from engage.flows.operators import provider
from engage.flows.operators.provider import ProviderFailed
from engage.payouts.momo import MomoAccount, MomoProvider
from engage.payouts.port import Payout
from engage.settings import Settings
from tests.security.operations import contract
from tests.support.tcp import HOST, tcp_server

SOURCES = Path(__file__).parents[2] / "src" / "engage"
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)

# The address of a member's post is kept for those who look at it; nobody opens it.
ADDRESSES = {"Post.url"}


@asynccontextmanager
async def redirecting(status: int) -> AsyncIterator[tuple[str, list[str], list[str]]]:
    """Serve redirects to a second server; (address, requests of the first, requests of the second)."""
    asked: list[str] = []
    followed: list[str] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        followed.append((await reader.readuntil(b"\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    async with tcp_server(elsewhere) as there:

        async def here(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(
                f"HTTP/1.1 {status} .\r\nLocation: http://{HOST}:{there}/latest/meta-data\r\n"
                "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            writer.write_eof()
            await reader.read()

        async with tcp_server(here) as port:
            yield f"http://{HOST}:{port}", asked, followed


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_of_a_relay_is_not_followed(status: int) -> None:
    async with redirecting(status) as (url, asked, followed):
        beacon = DrandBeacon([url])
        assert await beacon.signature(1, at=AT) is None
        await beacon.close()
    assert asked
    assert followed == []


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_of_the_payout_provider_is_not_followed(status: int) -> None:
    payout = Payout(uuid4(), 6_000, "XOF", "+22670123456", AT)
    async with redirecting(status) as (url, asked, followed):
        account = MomoAccount(url=url, environment="sandbox", subscription_key="s", user="u", key="k")
        momo = MomoProvider(lambda: [account])
        for outcome in (await momo.send(payout, at=AT), await momo.ask(payout, at=AT)):
            assert not isinstance(outcome, Accepted | Paid)
        await momo.close()
    assert asked
    assert followed == []


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_of_the_identity_provider_is_not_followed(status: int) -> None:
    """`tests/tokens/test_tokens.py` tests that of a key set."""
    async with redirecting(status) as (url, asked, followed):
        settings = Settings(
            database_url="", state_url="", queue_url="", topics_url="", oidc_issuer=url, oidc_client_id="c"
        )
        with pytest.raises(ProviderFailed):
            await provider.begin(settings, "/console")
    assert asked
    assert followed == []


def test_no_caller_follows_redirects() -> None:
    for path in SOURCES.rglob("*.py"):
        assert not re.search(r"follow_redirects\s*=\s*True|urlopen\(", path.read_text()), path


def test_no_request_of_a_client_names_an_address() -> None:
    named = set()
    for path, methods in contract()["paths"].items():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if is_address(parameter["name"], parameter["schema"]):
                    named.add(f"{path} {parameter['name']}")
            for content in operation.get("requestBody", {}).get("content", {}).values():
                named |= addresses(content["schema"], set())
    assert named == ADDRESSES


def is_address(name: str, schema: dict[str, Any]) -> bool:
    words = {"url", "uri", "href", "callback", "webhook", "endpoint", "host", "link"}
    return schema.get("format") in ("uri", "url", "hostname") or bool(words & set(name.lower().split("_")))


def addresses(schema: Any, seen: set[str]) -> set[str]:
    """Find the fields of a schema, and of those in it, that hold an address."""
    if isinstance(schema, list):
        return {found for each in schema for found in addresses(each, seen)}
    if not isinstance(schema, dict):
        return set()
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in seen:
            return set()
        seen.add(name)
        return addresses(contract()["components"]["schemas"][name], seen)
    found = {
        f"{schema.get('title', '')}.{name}"
        for name, field in schema.get("properties", {}).items()
        if is_address(name, field)
    }
    return found | addresses([value for value in schema.values() if isinstance(value, dict | list)], seen)
