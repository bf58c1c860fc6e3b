"""A benchmark that fails keeps the figures that it had, and says in which step it failed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from engage.bench import suite
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure
from engage.bench.setup.environment import Environment
from engage.bench.sizes import Sizes
from engage.cli import main
from engage.domain.refusals import Unavailable

FIGURE = Figure(benchmark="tap", what="bytes of a member", value=75.0, unit="bytes")


@asynccontextmanager
async def no_servers(*_: object, report: Callable[[str], None], **__: object) -> AsyncIterator[object]:
    yield SimpleNamespace(report=report)


@pytest.fixture
def last_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException | None], None]:
    """Make `tap` a benchmark without servers, whose last step raises an error, or does not end."""

    def fail(error: BaseException | None) -> None:
        async def run(env: Environment) -> AsyncIterator[Figure]:
            env.report("adding")
            yield FIGURE
            env.report("`engage audit`")
            if error is not None:
                raise error
            await asyncio.get_running_loop().create_future()

        monkeypatch.setitem(suite.BENCHMARKS, "tap", run)

    monkeypatch.setattr(suite, "open_environment", no_servers)
    return fail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BenchmarkFailed("it ended with 1"), "it ended with 1"),
        (Unavailable("postgres"), "postgres does not answer"),
        (AssertionError("7 of 8 credits became active"), "7 of 8 credits became active"),
    ],
)
def test_figures_measured_before_a_failed_step_are_shown_with_it(
    last_step: Callable[[BaseException | None], None], error: Exception, reason: str
) -> None:
    last_step(error)
    result = CliRunner().invoke(main, ["bench", "tap"])
    assert result.exit_code == 1
    assert "75 bytes" in " ".join(result.output.split())
    assert f"`engage audit`: {reason}" in " ".join(result.output.split())


async def test_figures_measured_before_a_step_that_takes_too_long_are_kept(
    last_step: Callable[[BaseException | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    last_step(None)
    monkeypatch.setattr(suite, "LIMIT_S", 0.05)
    (outcome,) = await suite.measure(["tap"], Sizes(), None, report=lambda _: None)
    assert outcome.figures == [FIGURE]
    assert outcome.failure == "`engage audit`: it took too long"
