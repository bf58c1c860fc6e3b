"""Secrets of real servers that tests rotate, and calls that go on meanwhile."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from sqlalchemy import make_url

from engage.settings import Settings
from tests.support.eventually import WITHIN_S

CALLERS = 3


def write_secret(path: Path, *values: str) -> None:
    """Replace a file as a secret store does, in one instant."""
    draft = path.with_suffix(".new")
    draft.write_text("".join(f"{value}\n" for value in values))
    draft.replace(path)


class Traffic:
    """Calls of some callers, one after the other. None may fail."""

    def __init__(self, call: Callable[[], Awaitable[object]]) -> None:
        self._call = call
        self._done = 0
        self._ending = False
        self._more = asyncio.Condition()

    async def goes_on(self) -> None:
        """Wait until each caller has begun and ended another call."""
        wanted = self._done + 2 * CALLERS
        async with asyncio.timeout(WITHIN_S), self._more:
            await self._more.wait_for(lambda: self._done >= wanted)

    def end(self) -> None:
        self._ending = True

    async def repeat(self) -> None:
        while not self._ending:
            await self._call()
            async with self._more:
                self._done += 1
                self._more.notify_all()


@asynccontextmanager
async def traffic(call: Callable[[], Awaitable[object]]) -> AsyncIterator[Traffic]:
    """Call again and again until the block ends. Raises the error of a call that fails."""
    calls = Traffic(call)
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(calls.repeat())
        yield calls
        calls.end()


class Role:
    """A role of PostgreSQL that has to give its password. `admins` are a superuser's connections, to the
    primary first and then to its standbys.
    """

    def __init__(self, admins: Sequence[asyncpg.Connection], name: str, url: str) -> None:
        self.admins = admins
        self.name = name
        self._url = url

    def url(self, password: str, of: str = "") -> str:
        """Return the database's URL, or another one, with the role and this password."""
        url = make_url(of or self._url).set(username=self.name, password=password)
        return url.render_as_string(hide_password=False)

    async def set_password(self, password: str) -> None:
        await self.admins[0].execute(f"ALTER ROLE {self.name} PASSWORD '{password}'")

    async def disconnect(self) -> None:
        """End all connections of the role."""
        for admin in self.admins:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", self.name
            )


@asynccontextmanager
async def role_with_password(settings: Settings, password: str, *standbys: str) -> AsyncIterator[Role]:
    """Create a role for a database, whose tables it may use. The servers at these URLs, its standbys, ask for
    the password, too.
    """
    name = f"role_{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        admins = [
            await stack.enter_async_context(_admin_who_asks(url, name))
            for url in (settings.database_url, *standbys)
        ]
        await admins[0].execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{password}'")
        role = Role(admins, name, settings.database_url)
        try:
            yield role
        finally:
            await role.disconnect()
            await admins[0].execute(f"DROP OWNED BY {name}")
            await admins[0].execute(f"DROP ROLE {name}")


@asynccontextmanager
async def _admin_who_asks(url: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect as a superuser to a server, which asks a role for its password meanwhile."""
    admin = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        with _asked_for_password(Path(await admin.fetchval("SHOW hba_file")), name):
            await admin.execute("SELECT pg_reload_conf()")
            yield admin
        await admin.execute("SELECT pg_reload_conf()")
    finally:
        await admin.close()


@contextmanager
def _asked_for_password(hba: Path, name: str) -> Iterator[None]:
    before, owner = hba.read_text(), hba.stat()
    hba.write_text(f"local all {name} scram-sha-256\n{before}")
    os.chown(hba, owner.st_uid, owner.st_gid)
    try:
        yield
    finally:
        hba.write_text(before)


class User:
    """A user of Valkey (ACL), who may do everything."""

    def __init__(self, admin: Redis, name: str) -> None:
        self.admin = admin
        self.name = name

    def url(self, url: str, password: str) -> str:
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{self.name}:{password}@{rest.rpartition('@')[2]}"

    async def allow(self, password: str) -> None:
        await self._set(f">{password}")

    async def refuse(self, password: str) -> None:
        await self._set(f"<{password}")

    async def disconnect(self) -> None:
        """End all connections of the user."""
        await self.admin.execute_command("CLIENT", "KILL", "USER", self.name)  # type: ignore[no-untyped-call]

    async def _set(self, *rules: str) -> None:
        await self.admin.execute_command("ACL", "SETUSER", self.name, *rules)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def user_with_password(admin: Redis, password: str) -> AsyncIterator[User]:
    user = User(admin, f"user-{secrets.token_hex(4)}")
    await user._set("on", f">{password}", "~*", "&*", "+@all")
    try:
        yield user
    finally:
        await admin.execute_command("ACL", "DELUSER", user.name)  # type: ignore[no-untyped-call]
