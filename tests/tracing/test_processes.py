"""One trace connects a tap with the push after its settlement, across three real processes."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from websockets.asyncio.client import connect

from engage.embedded.installation import running_servers
from engage.flows.operations.install import install
from engage.settings import to_environment
from tests.support.command_line import engage, health
from tests.support.eventually import eventually
from tests.support.ports import server_port

READY_S = 120.0
SETTLED_S = 90.0
PROGRAM = "eu-mi-points"
PERSON = "CanaryPerson7Qx"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


class Collector:
    """A receiver of OTLP over HTTP. `spans` are (process, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.bodies = b""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.bodies += body
        for of_resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]

    def of_trace(self, trace_id: str) -> list[tuple[str, Any]]:
        return [(name, span) for name, span in self.spans if span.trace_id.hex() == trace_id]


@contextmanager
def collecting(port: int) -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") is None:
                collector.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


async def advance(url: str, by: timedelta) -> None:
    """Advance the sandbox's clock for all processes, without settling in the API."""
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql"))
    try:
        await connection.execute("UPDATE sandbox_clock SET ahead = ahead + $1", by)
    finally:
        await connection.close()


def above(spans: list[tuple[str, Any]], span: Any) -> list[str]:
    """The names of a span and of those above it."""
    by_id = {each.span_id: each for _, each in spans}
    names = [span.name]
    while span.parent_span_id in by_id:
        span = by_id[span.parent_span_id]
        names.append(span.name)
    return names


async def test_one_trace_leads_from_a_tap_to_its_push(tmp_path: Path) -> None:
    port, feed_port, traces_port = server_port(), server_port(), server_port()
    async with running_servers(tmp_path / "there", durable=False) as found:
        settings = msgspec.structs.replace(
            found,
            api_port=port,
            feed_port=feed_port,
            traces_url=f"http://127.0.0.1:{traces_port}/v1/traces",
            traces_ratio=1.0,
        )
        await install(settings)
        with collecting(traces_port) as collector:
            environment = to_environment(settings)
            own = [await engage(name, cwd=tmp_path, **environment) for name in ("api", "feed", "worker")]
            outputs = [asyncio.create_task(process.communicate()) for process in own]
            try:
                await eventually(lambda: health(port) == 200, READY_S)
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                    body = {"program": PROGRAM, "country": "ES", "person_ref": PERSON}
                    made = (await client.post("/v1/sandbox/members", json=body)).json()
                    token, member_id = made["token"], made["member_id"]
                    bearer = {"Authorization": f"Bearer {token}"}
                    url = f"ws://127.0.0.1:{feed_port}/"
                    async with connect(url, additional_headers=bearer) as socket:
                        await socket.recv()
                        parent = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
                        tapped = await client.post("/v1/fuel/taps", headers=bearer | parent)
                        assert tapped.status_code == 202, tapped.text
                        assert tapped.headers["traceresponse"].split("-")[1] == TRACE
                        again = await client.post("/v1/fuel/taps", headers=bearer | parent)
                        assert again.json()["trace_id"] == TRACE
                        await advance(settings.database_url, timedelta(minutes=6))
                        async with asyncio.timeout(SETTLED_S):
                            while '"cause":"active"' not in str(await socket.recv()):
                                pass
                await eventually(
                    lambda: any(span.name == "push" for _, span in collector.of_trace(TRACE)), SETTLED_S
                )
            finally:
                for process in own:
                    process.send_signal(signal.SIGTERM)
                texts = [(await output)[0].decode(errors="replace") for output in outputs]
    spans = collector.of_trace(TRACE)
    (push_of, push) = next((name, span) for name, span in spans if span.name == "push")
    assert push_of == "engage-feed", texts
    assert above(spans, push) == ["push", "publish", "settle", "recordFuelTap"]
    tap = next(
        span for _, span in spans if span.name == "recordFuelTap" and span.parent_span_id.hex() == CALLER
    )
    names = {span.name for _, span in spans}
    assert {"batch", "gate", "ledger"} <= names
    ledger = next(span for _, span in spans if span.name == "ledger")
    assert above(spans, ledger) == ["ledger", "batch", "recordFuelTap"]
    settle_of, settle = next((name, span) for name, span in spans if span.name == "settle")
    assert settle_of == "engage-worker"
    assert settle.parent_span_id == tap.span_id
    jobs = {span.span_id: span.name for _, span in collector.spans}
    assert all(jobs[link.span_id] in ("settlement", "job") for link in settle.links)
    assert settle.links
    for secret in (token, PERSON, member_id, settings.pepper):
        assert secret.encode() not in collector.bodies


async def test_a_collector_that_is_away_costs_nothing_but_spans(tmp_path: Path) -> None:
    port = server_port()
    async with running_servers(tmp_path / "there", durable=False) as found:
        settings = msgspec.structs.replace(
            found, api_port=port, traces_url="http://127.0.0.1:1/v1/traces", traces_ratio=1.0
        )
        await install(settings)
        api = await engage("api", cwd=tmp_path, **to_environment(settings))
        output = asyncio.create_task(api.communicate())
        await eventually(lambda: health(port, "/health/live") == 200, READY_S)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(20):
                assert (await client.get("/health/live")).status_code == 200
        api.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await output
        assert api.returncode == 0
