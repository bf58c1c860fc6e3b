"""Traces (OpenTelemetry): off unless ENGAGE_TRACES_URL is set, and then one comparison with None.

The SDK is imported by `start` only; it is the extra `engage[tracing]`. Attributes pass the list of fields of
the logs. Between processes a span is named by its traceparent (W3C Trace Context); only sampled ones have
one. May import `settings` and `logs`.
"""

from engage.tracing.spans import close, instant, is_on, link_all, span, start, trace_id, traceparent

__all__ = ["close", "instant", "is_on", "link_all", "span", "start", "trace_id", "traceparent"]
