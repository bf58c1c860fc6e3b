"""Export spans to a collector (OTLP over HTTP), bounded in memory and in time.

A collector that is away or slow costs spans and nothing else: the queue is bounded, and a thread of its own
exports.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from engage.logs.fields import FIELDS

SPANS_WAITING: Final = 4_096
SPANS_AT_ONCE: Final = 512
EVERY_MS: Final = 1_000
EXPORT_S: Final = 5
CLOSE_S: Final = 3.0

_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Tracer:
    """Makes the spans of a process."""

    def __init__(self, url: str, ratio: float, process: str) -> None:
        by_ratio = TraceIdRatioBased(ratio)
        self._provider = TracerProvider(
            # A caller's flag does not decide: anybody can set it. The ratio decides about a trace the same
            # everywhere.
            sampler=ParentBased(by_ratio, remote_parent_sampled=by_ratio, remote_parent_not_sampled=by_ratio),
            resource=Resource.create({"service.name": f"engage-{process}"}),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint=url, timeout=EXPORT_S),
                max_queue_size=SPANS_WAITING,
                schedule_delay_millis=EVERY_MS,
                max_export_batch_size=SPANS_AT_ONCE,
                export_timeout_millis=EXPORT_S * 1_000,
            )
        )
        self._tracer = self._provider.get_tracer("engage")

    @contextmanager
    def span(
        self, name: str, parent: str | None, links: Iterable[str], attributes: Mapping[str, object]
    ) -> Iterator[Any]:
        linked = [Link(found) for each in links if (found := _context_of(each)) is not None]
        above = None if parent is None else _context_of(parent)
        with self._tracer.start_as_current_span(
            name,
            context=None if above is None else trace.set_span_in_context(NonRecordingSpan(above)),
            kind=SpanKind.SERVER if name == "request" else SpanKind.INTERNAL,
            links=linked,
            attributes=allowed(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as opened:
            try:
                yield opened
            except Exception as error:
                # Never its text.
                opened.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    @contextmanager
    def detached(self) -> Iterator[None]:
        token = context.attach(trace.set_span_in_context(trace.INVALID_SPAN))
        try:
            yield
        finally:
            context.detach(token)

    def traceparent(self) -> str | None:
        found = trace.get_current_span().get_span_context()
        if not found.is_valid or not found.trace_flags.sampled:
            return None
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-01"

    def trace_id(self) -> str | None:
        found = trace.get_current_span().get_span_context()
        return f"{found.trace_id:032x}" if found.is_valid else None

    def close(self) -> None:
        """Export what is left, for CLOSE_S at most: a collector that is away does not hold a process up."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def allowed(attributes: Mapping[str, object]) -> dict[str, Any]:
    """The attributes that the list of the logs' fields has, as it has them."""
    return {
        f"engage.{name}": kind(value)
        for name, value in attributes.items()
        if (kind := FIELDS.get(name)) is not None
    }


def _context_of(traceparent: str) -> SpanContext | None:
    found = _TRACE_PARENT.fullmatch(traceparent)
    if found is None:
        return None
    flags = TraceFlags(int(found[3], 16) & TraceFlags.SAMPLED)
    made = SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags)
    return made if made.is_valid else None
