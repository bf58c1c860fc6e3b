"""The primary of a database that has standbys: which of the hosts it is, and which one only believes so.

A standby that is promoted begins a new timeline. The primary of before may come back and accept writes on
the older one, where they are lost. So a process remembers the newest timeline that it has seen, uses no
server of an older one, and forgets what it knew of the database when there is a newer one: with asynchronous
replication the new primary may never have got the newest commits.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import asyncpg
import structlog
from msgspec import Struct

from engage.connections.cancellation import cancel_all
from engage.connections.logins import Login, Logins
from engage.connections.server_version import check_postgres
from engage.connections.sockets import keep_alive
from engage.domain.refusals import Unavailable

PART: Final = "postgres"

# The host that was the primary is asked first. The others are asked too where it is silent for this time.
HEAD_START_S: Final = 0.25

# All hosts are asked again before a connection is used, if nobody has asked them for this time. A process
# that was suspended may have missed a failover.
SURVEYED_WITHIN_S: Final = 10.0

_IDENTITY: Final = """
SELECT system_identifier, CASE WHEN NOT pg_is_in_recovery()
    THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END
FROM pg_control_system()
"""

# Errors of a server that does not let us in with this login.
_REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError,)

log = structlog.get_logger()

Address = tuple[str | None, int | None]


class Timeline(Struct, frozen=True):
    """A history of a database. `system` is the same for all servers that are copies of one."""

    system: int
    number: int

    def is_older_than(self, other: "Timeline") -> bool:
        """True if the other one begins later in the same database."""
        return self.system == other.system and self.number < other.number

    def __str__(self) -> str:
        return f"{self.system}/{self.number}"


def timeline_of(stored: str) -> Timeline | None:
    """The timeline whose text this is; None if it is none."""
    system, _, number = stored.partition("/")
    if not (system.isascii() and system.isdigit() and number.isascii() and number.isdigit()):
        return None
    return Timeline(int(system), int(number))


class Connection(asyncpg.Connection):  # type: ignore[misc]  # The driver has no types.
    """A connection of the driver, and the timeline of its server when it was made."""

    __slots__ = ("timeline",)

    timeline: Timeline

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        """Leave a statement alone whose caller waits no longer, instead of asking the server to cancel it.

        A COMMIT that waits for a synchronous standby would become visible without being replicated: others
        would be told of what a failover loses. We drop the connection, and the server ends every other
        statement by itself (`client_connection_check_interval`, `statement_timeout`).
        """
        if not waiter.done():
            waiter.set_result(None)


class Primary:
    """Finds the primary among the hosts of a URL. `newest` is the newest timeline that was seen, and
    `changes` counts how often there was another one.
    """

    def __init__(self) -> None:
        self.newest: Timeline | None = None
        self.changes = 0
        self._listeners: list[Callable[[], object]] = []
        self._options: Mapping[str, Any] = {}
        self._logins: Logins | None = None
        self._addresses: Sequence[Address] = ()
        self._at: Address | None = None  # Where the primary was last.
        self._surveyed_at = float("-inf")  # Monotonic seconds.
        self._surveying = asyncio.Lock()

    def listen(self, listener: Callable[[], object]) -> None:
        """Call `listener` whenever another timeline is the newest one, before anything is read there."""
        self._listeners.append(listener)

    def check(self, changes: int) -> None:
        """Raises Unavailable if another server has become the primary since there were so many changes."""
        if self.changes != changes:
            raise Unavailable(PART)

    def note(self, found: Timeline) -> None:
        """Take a timeline that was seen. Raises Unavailable if a newer one is known."""
        known = self.newest
        if known == found:
            return
        if known is not None and found.is_older_than(known):
            log.error("a server of an older timeline is not used", found=str(found), newest=str(known))
            raise Unavailable(PART)
        self.newest = found
        self.changes += 1
        if known is not None:
            log.warning("another server is the primary", before=str(known), now=str(found))
        for listener in self._listeners:
            listener()

    async def connect(self, logins: Logins, **options: Any) -> Connection:
        """Connect to the primary. `options` are those of the driver, with one host or several.

        Raises Unavailable, and errors of the driver.
        """
        self._logins = logins
        self._addresses, self._options = _split(options)
        if len(self._addresses) == 1:
            return await self._open(self._addresses[0])
        try:
            return await self._choose()
        except BaseException:
            self._at = None
            raise

    @property
    def is_surveyed(self) -> bool:
        """True unless another host may have become the primary unnoticed."""
        has_others = len(self._addresses) > 1
        return not has_others or time.monotonic() - self._surveyed_at < SURVEYED_WITHIN_S

    async def survey(self) -> None:
        """Ask the other hosts whether one of them is the primary of a newer timeline. One that does not
        answer is none.
        """
        async with self._surveying:
            others = [address for address in self._addresses if address != self._at]
            if len(self._addresses) > 1:
                for outcome in await asyncio.gather(*map(self._open, others), return_exceptions=True):
                    if isinstance(outcome, Connection):
                        outcome.terminate()
                    elif not isinstance(outcome, Exception):
                        raise outcome
            self._surveyed_at = time.monotonic()

    async def _choose(self) -> Connection:
        """Ask the host that was the primary, and all if it is not or is silent."""
        attempts: dict[asyncio.Task[Connection], Address] = {}
        chosen: Connection | None = None
        changes = self.changes
        try:
            if self._at in self._addresses and self._at is not None:
                first = asyncio.create_task(self._open(self._at))
                attempts[first] = self._at
                await asyncio.wait([first], timeout=HEAD_START_S)
                chosen = self._fitting(attempts)
            if chosen is None:
                asked = set(attempts.values())
                for address in self._addresses:
                    if address not in asked:
                        attempts[asyncio.create_task(self._open(address))] = address
                chosen = await self._first_fitting(attempts, changes)
            if chosen is None:
                raise next(error for task in attempts if (error := task.exception()) is not None)
            self._at = next(a for task, a in attempts.items() if _result(task) is chosen)
            return chosen
        finally:
            await cancel_all(attempts)
            for task in attempts:
                opened = _result(task)
                if opened is not None and opened is not chosen:
                    opened.terminate()

    async def _first_fitting(
        self, attempts: Mapping[asyncio.Task[Connection], Address], changes: int
    ) -> Connection | None:
        """Wait until one fits. It may be the primary of before unless it has a newer timeline than there was
        after so many `changes`; then all are waited for, and each has a limit.
        """
        waiting: set[asyncio.Task[Connection]] = set(attempts)
        while waiting:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if 0 < changes < self.changes and (chosen := self._fitting(attempts)) is not None:
                return chosen
        self._surveyed_at = time.monotonic()
        return self._fitting(attempts)

    def _fitting(self, attempts: Mapping[asyncio.Task[Connection], Address]) -> Connection | None:
        """The connection that leads to the newest timeline, if one does."""
        opened = (_result(task) for task in attempts if task.done())
        return next((each for each in opened if each is not None and each.timeline == self.newest), None)

    async def _open(self, address: Address) -> Connection:
        """Raises Unavailable for a standby, and for a server of an older timeline than the newest."""
        host, port = address
        where = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        assert self._logins is not None
        connection = await _log_in(self._logins, {**self._options, **where})
        try:
            # The driver has no options for its socket.
            keep_alive(connection._transport.get_extra_info("socket"))
            server = connection.get_server_version()
            check_postgres(server.major, f"{server.major}.{server.micro}")
            async with asyncio.timeout(self._options.get("timeout")):
                system, number = await connection.fetchrow(_IDENTITY)
            if number is None:
                raise Unavailable(PART)  # A standby.
            connection.timeline = Timeline(system, int(number, 16))
            self.note(connection.timeline)
        except BaseException:
            connection.terminate()
            raise
        return connection


_UNKNOWN: Final = Timeline(0, 0)


class AnyServer(Primary):
    """The first host that answers, whether it is the primary or not. Nothing is written there."""

    async def connect(self, logins: Logins, **options: Any) -> Connection:
        """Raises errors of the driver."""
        connection = await _log_in(logins, options)
        keep_alive(connection._transport.get_extra_info("socket"))
        connection.timeline = _UNKNOWN
        self.newest = _UNKNOWN
        return connection


async def _log_in(logins: Logins, options: Mapping[str, Any]) -> Connection:
    """Raises errors of the driver."""

    async def connect(login: Login) -> Connection:
        # Without a name or a password, the driver finds its own as libpq does.
        own = {"user": login.name, "password": login.password}
        given = {name: value for name, value in own.items() if value is not None}
        connection: Connection = await asyncpg.connect(**{**options, **given}, connection_class=Connection)
        return connection

    return await logins.log_in(connect, _REFUSED)


def _result(task: asyncio.Task[Connection]) -> Connection | None:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return None
    return task.result()


def _split(options: Mapping[str, Any]) -> tuple[Sequence[Address], Mapping[str, Any]]:
    """The addresses of the hosts, and the other options."""
    rest = {name: value for name, value in options.items() if name not in ("host", "port")}
    hosts, ports = options.get("host"), options.get("port")
    if not isinstance(hosts, list | tuple):
        return [(hosts, None if ports is None else int(ports))], rest
    numbers = ports if isinstance(ports, list | tuple) else [ports] * len(hosts)
    return list(zip(hosts, numbers, strict=True)), rest
