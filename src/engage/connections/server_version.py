"""The oldest servers that the statements work on. An older one is refused, and said to be too old.

PostgreSQL 18: `uuidv7()`, and the rows before a change in RETURNING. Valkey 8: functions with `server`.
"""

from functools import lru_cache
from typing import Final

import structlog

from engage.domain.refusals import Unavailable

POSTGRES: Final = 18
VALKEY: Final = 8

log = structlog.get_logger()


class ServerTooOld(Unavailable):
    """The server of this part answers, and is too old. `detail` says so in words."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(part)
        self.detail = detail


def check_postgres(major: int, version: str) -> None:
    """Raises ServerTooOld."""
    if major < POSTGRES:
        _refuse("postgres", f"PostgreSQL {version} is too old: engage needs {POSTGRES} or later")


def check_valkey(info: dict[str, object]) -> None:
    """Look at the answer of INFO. Raises ServerTooOld, also for Redis, which has other functions."""
    version = str(info.get("valkey_version", ""))
    if not version:
        _refuse("valkey", f"Redis {info.get('redis_version', '')} is not Valkey {VALKEY} or later")
    if int(version.partition(".")[0]) < VALKEY:
        _refuse("valkey", f"Valkey {version} is too old: engage needs {VALKEY} or later")


def _refuse(part: str, detail: str) -> None:
    _log_once(part, detail)
    raise ServerTooOld(part, detail)


@lru_cache(16)
def _log_once(part: str, detail: str) -> None:
    """Log it once, not for each connection."""
    log.error("a server is too old", part=part, detail=detail)
