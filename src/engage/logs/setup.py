"""Set up the logs of a process: everything that is written passes the list of fields."""

import logging
import sys
import threading
from types import TracebackType
from typing import Any, Final

import structlog

from engage.live_settings import LiveSettings
from engage.logs.failures import Location, failure_text
from engage.logs.fields import Cleaner
from engage.logs.pseudonyms import Pseudonyms
from engage.settings import Settings

# Those of this process.
_pseudonyms: Final = Pseudonyms("")

_LIBRARY: Final = "a library logged"
_crashes: Final = structlog.get_logger("engage.crashes")


def configure(settings: Settings) -> None:
    """Sends the logs of structlog and of libraries to standard error."""
    _pseudonyms.take(settings.peppers[0])
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
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
            processors=[
                without_texts,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                Cleaner(_pseudonyms),
                renderer,
            ],
            # It would put the text of a traceback into the line by itself.
            use_get_message=False,
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    # A handler that fails would print the arguments of the line.
    logging.raiseExceptions = False
    # arq logs a line for each job, several a second.
    logging.getLogger("arq").setLevel(logging.WARNING)
    _log_crashes()


def follow(live: LiveSettings) -> None:
    """Make pseudonyms with the pepper that is in force."""
    live.listen("pepper", lambda: _pseudonyms.take(live.now.peppers[0]))


def without_texts(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace exceptions by types and places. Of a library's line only its template remains, and where it is
    from: its arguments, or a text without a template, can hold anything.
    """
    record: logging.LogRecord = event["_record"]
    if not event["_from_structlog"]:
        template = record.msg if record.args and isinstance(record.msg, str) else ""
        event["event"] = _LIBRARY
        event["logger"] = record.name
        event["template"] = template
        event["at"] = Location(record.pathname, record.lineno, record.funcName or "").text
    exc_info = event.pop("exc_info", None)
    event.pop("stack", None)
    event.pop("exception", None)
    if exc_info:
        error = _error_of(exc_info)
        if error is not None:
            event["exception"] = failure_text(error)
    return event


def _error_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        error: BaseException | None = exc_info[1]
        return error
    return sys.exc_info()[1]


def _log_crashes() -> None:
    """Log what nobody caught, instead of printing its text."""

    def of_process(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            return
        _crashes.critical("the process failed", exc_info=error)

    def of_thread(failed: threading.ExceptHookArgs) -> None:
        _crashes.error("a thread failed", exc_info=failed.exc_value)

    def unraisable(failed: Any) -> None:
        _crashes.error("a destructor failed", exc_info=failed.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_process, of_thread, unraisable
