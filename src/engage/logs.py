"""Logs: a JSON object a line, or coloured lines for people. Secrets and tokens are never logged."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final, Literal

import structlog

from engage.settings import Settings

LINES_PER_S: Final = 2
BURST: Final = 200

Level = Literal["info", "warning", "error"]


def configure(settings: Settings) -> None:
    """Sends the logs of structlog and of libraries to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "console":
        # Rendering a traceback with locals blocks the event loop for many seconds.
        renderers: list[structlog.typing.Processor] = [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # arq logs a line for each job, several a second.
    logging.getLogger("arq").setLevel(logging.WARNING)


class BoundedLog:
    """A log of what callers can cause, so that none can fill the disk: `burst` lines at once, and then
    `lines_per_s`. The next line that is written counts those left out.
    """

    def __init__(
        self,
        name: str,
        *,
        burst: int = BURST,
        lines_per_s: float = LINES_PER_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = structlog.get_logger(name)
        self._burst = burst
        self._lines_per_s = lines_per_s
        self._now = now
        self._left = float(burst)
        self._at = now()
        self._left_out = 0

    def write(self, level: Level, event: str, **facts: object) -> None:
        now = self._now()
        self._left = min(self._left + (now - self._at) * self._lines_per_s, self._burst)
        self._at = now
        if self._left < 1:
            self._left_out += 1
            return
        self._left -= 1
        if self._left_out:
            facts["left_out_before"], self._left_out = self._left_out, 0
        getattr(self._log, level)(event, **facts)
