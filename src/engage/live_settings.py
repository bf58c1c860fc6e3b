"""The settings of a running process, whose secrets change with the files that they are in.

Everything but secrets is as it was at the start. A file that cannot be read, or whose content does not fit,
changes nothing: the values of before stay in force, and the process says so in its health.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from engage.domain.refusals import Unavailable
from engage.settings import (
    PEPPER_LENGTH,
    SERVER_URLS,
    Settings,
    SettingsError,
    read_secret,
    values_of,
    variable_of,
)

# The name of the loop that reads the files again, and of its problem in the health of a process.
SECRETS_LOOP: Final = "secrets"

_Stamp = tuple[int, int, int]

log = structlog.get_logger()


class LiveSettings:
    """`now` is what is in force."""

    def __init__(self, settings: Settings) -> None:
        self.now = settings
        self.reads = dict.fromkeys(settings.secret_files, 0)  # By setting: the new values that were read.
        self._stamps: dict[str, _Stamp] = {}
        self._problems: dict[str, str] = {}
        self._listeners: dict[str, list[Callable[[], object]]] = {}

    def listen(self, name: str, listener: Callable[[], object]) -> None:
        """Call `listener` now, and whenever this setting has changed."""
        self._listeners.setdefault(name, []).append(listener)
        listener()

    def reader(self, name: str) -> Callable[[], str]:
        """Return a function that looks at the file of a secret, and returns what is in force then."""

        def read() -> str:
            if name in self.now.secret_files:
                self._look(name)
            value: str = getattr(self.now, name)
            return value

        return read

    async def refresh(self) -> None:
        """Look at every file. Raises Unavailable where one has a problem."""
        for name in self.now.secret_files:
            self._look(name)
        if self._problems:
            raise Unavailable(SECRETS_LOOP)

    def _look(self, name: str) -> None:
        """Read a file that has changed, and log what is new. A problem is logged once."""
        path = self.now.secret_files[name]
        try:
            stamp = _stamp_of(path)
            if self._stamps.get(name) == stamp and name not in self._problems:
                return
            text = read_secret(path)
            _check(name, getattr(self.now, name), text)
        except SettingsError as error:
            if self._problems.get(name) != str(error):
                self._problems[name] = str(error)
                log.error("a secret is not read again", setting=variable_of(name), reason=str(error))
            return
        self._stamps[name] = stamp
        if self._problems.pop(name, None) is not None:
            log.info("the file of a secret can be read again", setting=variable_of(name))
        if text != getattr(self.now, name):
            self._take(name, text)

    def _take(self, name: str, text: str) -> None:
        self.now = msgspec.structs.replace(self.now, **{name: text})
        self.reads[name] += 1
        log.info("a secret was read again", setting=variable_of(name), values=len(values_of(text)))
        for listener in self._listeners.get(name, ()):
            listener()


def _stamp_of(path: Path) -> _Stamp:
    """Raises SettingsError."""
    try:
        status = path.stat()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _check(name: str, before: str, text: str) -> None:
    """Raises SettingsError for what needs a restart, or is no secret."""
    if name == "pepper" and any(len(value) < PEPPER_LENGTH for value in values_of(text)):
        raise SettingsError(f"a pepper has fewer than {PEPPER_LENGTH} characters")
    if name in SERVER_URLS and {_place(url) for url in values_of(text)} != {_place(values_of(before)[0])}:
        raise SettingsError("more than users and passwords of its URLs has changed, which needs a restart")


def _place(url: str) -> str:
    """Return a URL without user and password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
