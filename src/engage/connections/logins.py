"""The names and passwords with which a server lets us in. They change while the process runs."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from msgspec import Struct

# The URL of a server, or what reads it. It may have several lines, which differ in name and password only.
Url = str | Callable[[], str]

T = TypeVar("T")

log = structlog.get_logger()


class Login(Struct, frozen=True):
    """None for a name or password that the URL does not have."""

    name: str | None
    password: str | None

    def __repr__(self) -> str:
        return "Login(…)"  # No secrets in logs.


class Logins:
    """The logins of a server's URLs. `login_of` is the reader of such a URL."""

    def __init__(self, part: str, url: Url, login_of: Callable[[str], Login]) -> None:
        self._part = part
        self._read: Callable[[], str] = (lambda: url) if isinstance(url, str) else url
        self._login_of = login_of
        self._accepted: Login | None = None

    @property
    def url(self) -> str:
        """The first URL."""
        return self._urls()[0]

    async def log_in(
        self, connect: Callable[[Login], Awaitable[T]], refused: tuple[type[Exception], ...]
    ) -> T:
        """Connect with the login that was accepted last, or else the first one that is.

        `refused` are the errors that say that the server does not know a login. Raises that of the last one.
        """
        *logins, last = self._in_turn()
        for login in logins:
            try:
                connection = await connect(login)
            except refused:
                continue
            self._note(login)
            return connection
        connection = await connect(last)
        self._note(last)
        return connection

    def _in_turn(self) -> list[Login]:
        logins = list(dict.fromkeys(map(self._login_of, self._urls())))
        return sorted(logins, key=lambda login: login != self._accepted)

    def _urls(self) -> list[str]:
        return [url for url in self._read().split("\n") if url.strip()] or [""]

    def _note(self, login: Login) -> None:
        if self._accepted is not None and self._accepted != login:
            log.info("a server accepts another login", part=self._part)
        self._accepted = login
