"""The proxy of `engage torture` between a test and its servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import make_url

from engage.settings import Settings
from engage.torture.proxy import Proxy, proxy_to

__all__ = ["Proxy", "proxy_to", "proxy_to_postgres", "proxy_to_valkey"]


@asynccontextmanager
async def proxy_to_postgres(settings: Settings) -> AsyncIterator[tuple[Proxy, str]]:
    """Yield a proxy, and the URL of the database through it."""
    url = make_url(settings.database_url)
    async with proxy_to(f"{url.query['host']}/.s.PGSQL.{url.query['port']}", watched=True) as proxy:
        yield proxy, f"postgresql+asyncpg://{url.username}@127.0.0.1:{proxy.port}/{url.database}"


@asynccontextmanager
async def proxy_to_valkey(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Yield a proxy, and the URL of the database of a Valkey through it."""
    port = make_url(url).port
    assert port is not None
    async with proxy_to(port) as proxy:
        yield proxy, url.replace(f":{port}/", f":{proxy.port}/")
