"""Tracing that is off imports nothing and does nothing."""

import subprocess
import sys

import pytest

from engage import tracing
from engage.settings import Settings

OFF = Settings(database_url="", state_url="", queue_url="", topics_url="")


def test_without_a_url_the_sdk_is_not_imported() -> None:
    code = (
        "import sys; import engage.api.run, engage.feed.run, workers.run; from engage import tracing;"
        "from engage.settings import Settings;"
        "tracing.start(Settings(database_url='', state_url='', queue_url='', topics_url=''), 'api');"
        "assert not tracing.is_on();"
        "found = [name for name in sys.modules if name.startswith('opentelemetry')];"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_off_has_no_trace() -> None:
    tracing.start(OFF, "api")
    with tracing.span("request", parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"):
        assert tracing.traceparent() is None
        assert tracing.trace_id() is None
        assert tracing.instant("push", parent="") is None
    assert tracing.span("a") is tracing.span("b")


@pytest.mark.parametrize("name", ["person", "token", "anything"])
def test_an_attribute_that_is_not_in_the_list_is_left_out(name: str) -> None:
    from engage.tracing.exporting import allowed

    assert allowed({name: "somebody", "count": 3}) == {"engage.count": 3}
