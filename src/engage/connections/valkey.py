"""Clients of Valkey, and the errors of a server that is away or cannot serve now."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as ValkeyConnectionError
from redis.exceptions import TimeoutError as ValkeyTimeoutError

from engage.connections.logins import Login, Logins, Url
from engage.connections.sockets import KEEPALIVE_OPTIONS, is_of_closed_transport
from engage.domain.refusals import Unavailable

# A server that does not answer within this time is away.
ANSWER_S: Final = 2.0

# The time of one try. The connection of the first may be dead without a word; a second, on a new connection,
# fits into ANSWER_S.
TRY_S: Final = 1.0

# Errors of a server that runs and cannot serve now. Others mean that we sent nonsense: a bug.
_CANNOT_NOW: Final = (
    OutOfMemoryError,  # Memory is full, and nothing may be evicted.
    ReadOnlyError,  # A replica, after a failover.
    ClusterDownError,  # Slots without a primary.
    TryAgainError,  # Slots that are being moved.
)
_CANNOT_NOW_CODES: Final = (
    "MISCONF",  # It cannot write to its disk.
    "MASTERDOWN",  # A replica without its primary.
    "NOREPLICAS",  # Fewer replicas than a write needs.
    "BUSY",  # A function runs for too long.
    "LOADING",
)

# Errors of a server that does not let us in with this login.
_REFUSED: Final = (AuthenticationError,)

_OPTIONS: Final[dict[str, Any]] = {
    "socket_keepalive": True,
    "socket_keepalive_options": KEEPALIVE_OPTIONS,
}

# redis-py writes the command of a pipeline before the error that it met.
_OF_PIPELINE: Final = re.compile(r"of pipeline caused error: \('(\w+)")

Client = TypeVar("Client", bound=Redis)


def _time_limits() -> dict[str, Any]:
    return {"socket_timeout": TRY_S, "socket_connect_timeout": TRY_S}


class _LogsIn(AbstractConnection):
    """A connection that is made with the name and the password that are in force then."""

    logins: Logins

    async def connect(self) -> None:
        if not self.is_connected:
            await self.logins.log_in(self._connect_as, _REFUSED)

    async def _connect_as(self, login: Login) -> None:
        self.username, self.password = login.name, login.password
        await super().connect()  # type: ignore[no-untyped-call]


class _LostWhenSilent(AbstractConnection):
    """A connection on which a server that is silent for too long counts as lost.

    redis-py gives lost connections back to their pool, and forgets those that did not answer in time.
    """

    async def connect(self) -> None:
        with _silent_is_lost():
            await super().connect()  # type: ignore[no-untyped-call]

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        with _silent_is_lost():
            await super().send_packed_command(*args, **kwargs)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        with _silent_is_lost():
            return await super().read_response(*args, **kwargs)


class _ReadInBulk(AbstractConnection):
    """A connection whose bytes somebody else decodes: a response at a time costs 15 times as much."""

    async def read_bytes(self, count: int) -> bytes:
        """Return the bytes that have come, and wait for some. Raises ConnectionError at the end of them."""
        if self._reader is None:
            raise ValkeyConnectionError("not connected")
        read = await self._reader.read(count)
        if not read:
            raise ValkeyConnectionError("closed by the server")
        return read


class _PackedInC(AbstractConnection):
    """A connection that packs commands with hiredis, as redis-py's synchronous one does. Its asynchronous one
    packs them in Python, which for the keys of a batch takes five times as long.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        packed: list[bytes] = _serializer.pack(*args)
        return packed


_serializer: Final = HiredisRespSerializer()


@contextmanager
def _silent_is_lost() -> Iterator[None]:
    try:
        yield
    except ValkeyTimeoutError as error:
        raise ValkeyConnectionError(str(error)) from error


def logins_of(url: Url) -> Logins:
    """Return the logins of a server's URL, or of a Cluster's."""
    return Logins("valkey", url, _login_of)


def _login_of(url: str) -> Login:
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    name = parts.username or next(iter(options.get("username", ())), "")
    password = parts.password or next(iter(options.get("password", ())), "")
    return Login(unquote(name) or None, unquote(password) or None)


def open_client(kind: type[Client], url: Url, **options: Any) -> Client:
    """Open a client of one server. Connects when first used, each time with the name and the password that
    the URL has then.
    """
    logins = logins_of(url)
    return open_node(kind, logins.url, logins, **options)


def open_node(kind: type[Client], url: str, logins: Logins, **options: Any) -> Client:
    """Open a client of one server, which has the logins of others too."""
    client: Client = kind.from_url(
        url,
        **options,
        **_OPTIONS,
        **_time_limits(),
        # A restart of Valkey closes idle connections: a retry opens a new one. uvloop raises RuntimeError for
        # one that was closed a moment ago.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[ValkeyConnectionError, RuntimeError],
    )
    pool = client.connection_pool
    pool.connection_class = type(
        "LastingConnection",
        (_LogsIn, _LostWhenSilent, _PackedInC, _ReadInBulk, pool.connection_class),
        {"logins": logins},
    )
    return client


@contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Raises Unavailable for the errors of a server that is away or cannot serve now."""
    try:
        yield
    except ResponseError as error:
        if isinstance(error, _CANNOT_NOW) or _code_of(error).startswith(_CANNOT_NOW_CODES):
            raise Unavailable("valkey") from error
        raise
    except (RedisError, RedisClusterException, OSError) as error:
        raise Unavailable("valkey") from error
    except RuntimeError as error:
        if is_of_closed_transport(error):
            raise Unavailable("valkey") from error
        raise


def _code_of(error: ResponseError) -> str:
    """Return the error as the server wrote it, which begins with its code."""
    text = str(error)
    *_, of_pipeline = _OF_PIPELINE.findall(text) or [""]
    return of_pipeline or text


def error_of(error: Exception) -> Exception:
    """Return Unavailable for an error of a server that cannot serve now, and others as they are."""
    try:
        with away_is_unavailable():
            raise error
    except (Unavailable, RedisError, RuntimeError) as translated:
        return translated


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Raises Unavailable when the server fails, or does not answer in ANSWER_S."""
    with away_is_unavailable():
        async with asyncio.timeout(ANSWER_S):
            yield
