"""The span of a request. The caller's trace goes on (`traceparent`), and the answer names it."""

from collections.abc import Awaitable, Callable
from typing import Any

from engage import tracing
from engage.api.http.operation import operation_of
from engage.api.http.problems import header_of


async def traced(
    answer: Callable[[Any, Any, Any], Awaitable[None]], scope: Any, receive: Any, send: Any
) -> None:
    """Answer a request within a span."""
    parent = header_of(scope, b"traceparent").decode("latin-1")
    with tracing.span("request", parent=parent or None) as span:
        named = tracing.traceparent()

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
                if named is not None:
                    headers = [*message["headers"], (b"traceresponse", named.encode())]
                    message = {**message, "headers": headers}
            await send(message)

        try:
            await answer(scope, receive, sending)
        finally:
            operation = operation_of(scope)
            if operation:
                span.update_name(operation)
