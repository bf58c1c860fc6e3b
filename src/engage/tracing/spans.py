"""Spans of this process. Each function does nothing, at once, while tracing is off."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from engage.settings import Settings, SettingsError

if TYPE_CHECKING:
    from engage.tracing.exporting import Tracer

_tracer: "Tracer | None" = None

_NOTHING: Final[AbstractContextManager[Any]] = nullcontext()


def start(settings: Settings, process: str) -> None:
    """Begin to trace if the settings say so. Raises SettingsError where the extra is not installed."""
    global _tracer
    if not settings.traces_url:
        return
    try:
        from engage.tracing.exporting import Tracer
    except ImportError as error:
        raise SettingsError("ENGAGE_TRACES_URL needs the extra: pip install engage[tracing]") from error
    _tracer = Tracer(settings.traces_url, settings.traces_ratio, process)


def close() -> None:
    """Export what is left, for a bounded time."""
    global _tracer
    if _tracer is not None:
        _tracer.close()
        _tracer = None


def is_on() -> bool:
    return _tracer is not None


def span(
    name: str, *, parent: str | None = None, links: Iterable[str] = (), **attributes: object
) -> AbstractContextManager[Any]:
    """A span around a block, beneath `parent` (a traceparent) or the span that is open here. `links` are
    traceparents.
    """
    if _tracer is None:
        return _NOTHING
    return _tracer.span(name, parent, links, attributes)


def link_all(name: str, causes: Iterable[str | None], **attributes: object) -> AbstractContextManager[Any]:
    """A span of work that several spans share: beneath the first that is sampled, with links to the others.
    Without one it belongs to no trace.
    """
    if _tracer is None:
        return _NOTHING
    sampled = [cause for cause in causes if cause is not None]
    if not sampled:
        return _tracer.detached()
    return _tracer.span(name, sampled[0], sampled[1:], attributes)


def instant(name: str, *, parent: str, links: Iterable[str] = (), **attributes: object) -> str | None:
    """A span without a duration; its traceparent."""
    if _tracer is None:
        return None
    with _tracer.span(name, parent, links, attributes):
        return _tracer.traceparent()


def traceparent() -> str | None:
    """The traceparent of the span that is open here, if it is sampled."""
    return None if _tracer is None else _tracer.traceparent()


def trace_id() -> str | None:
    """The trace that is open here, sampled or not."""
    return None if _tracer is None else _tracer.trace_id()
