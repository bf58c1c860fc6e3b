"""Answers of other servers take no more memory than their limit and a part of what was sent."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from engage.decoding.bounded import UNCOMPRESSED, read_at_most
from engage.settings import SettingsError, from_environment

SOURCES = Path(__file__).parents[2] / "src" / "engage"
URLS = {
    "ENGAGE_DATABASE_URL": "postgresql+asyncpg://db",
    "ENGAGE_STATE_URL": "redis://state",
    "ENGAGE_QUEUE_URL": "redis://queue",
    "ENGAGE_TOPICS_URL": "redis://topics",
}


async def test_reading_ends_at_the_limit() -> None:
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 100

    assert len(await read_at_most(chunks(), 250)) == 300
    assert read == 3


async def test_a_compressed_answer_stays_compressed() -> None:
    """Whatever a server was asked for: ten megabytes come as ten kilobytes."""
    bomb = gzip.compress(b"0" * 10_000_000)

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(bomb))

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client,
        client.stream("GET", "https://provider.example", headers=UNCOMPRESSED) as response,
    ):
        assert await read_at_most(response.aiter_raw(), 20_000) == bomb


def test_no_answer_is_read_without_a_bound() -> None:
    """Every module that sends requests to others reads answers by `read_at_most`."""
    senders = [path for path in SOURCES.rglob("*.py") if "httpx.AsyncClient(" in path.read_text()]
    # These ask our own servers only.
    senders = [
        path for path in senders if path.relative_to(SOURCES).parts[0] not in ("bench", "cli", "torture")
    ]
    assert len(senders) >= 4
    for path in senders:
        source = path.read_text()
        assert "read_at_most(" in source, path
        assert not re.search(r"\.(aiter_bytes|aiter_text|aiter_lines|aread)\(", source), path


@pytest.mark.parametrize("name", ["MOMO_URL", "OIDC_ISSUER"])
@pytest.mark.parametrize(
    "url",
    [
        "http://provider.example",
        "ftp://127.0.0.1",
        "provider.example",
        "http://10.0.0.1",
        "https:///",
        "https://[",
    ],
)
def test_secrets_are_sent_over_https_only(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match=f"ENGAGE_{name}"):
        from_environment(URLS | {f"ENGAGE_{name}": url})
    from_environment(URLS | {f"ENGAGE_{name}": "https://provider.example"})
    from_environment(URLS | {f"ENGAGE_{name}": "http://127.0.0.1:8000"})
