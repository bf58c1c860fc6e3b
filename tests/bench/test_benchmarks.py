"""Each benchmark runs with tiny sizes on real servers, returns figures and stops all its processes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from engage.bench.benchmarks import soak
from engage.bench.figures import Figure
from engage.bench.setup.environment import Environment, open_environment
from engage.bench.sizes import Sizes
from engage.bench.suite import BENCHMARKS, collect

TINY = Sizes(
    rounds=1,
    connections=8,
    taps=80,
    credits=200,
    singles=20,
    backlog=400,
    workers=2,
    sockets=50,
    pushes=500,
    idle=50,
    idle_s=0.1,
    apps=100,
    minutes=0.05,
    rate=40,
    seconds=1,
    delay_s=1,
    members=2_000,
    claims=200,
    payments=40,
    orders=60,
    screens=60,
    sized=40,
    days=2,
    population=(40, 400),
    credits_each=2,
    visits=8,
    quizzes=40,
    listed=200,
    ranked=60,
    placed=20,
    lots=2_000,
    activities=400,
    campaigns=20,
    pages=1,
)
BENCH = (sys.executable, "-m", "engage.cli", "bench")
END_S = 60.0  # A guard against hanging, not a tested limit.

# Clients need none of these, and each takes long to import.
HEAVY = [
    "sqlalchemy",
    "litestar",
    "asyncpg",
    "granian",
    "arq",
    "redis",
    "engage.domain.program",
    "engage.flows",
]


@pytest.fixture
def parent() -> Iterator[Path]:
    """A folder with a short path, as PostgreSQL's socket needs."""
    with tempfile.TemporaryDirectory(prefix="eb-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
async def env() -> AsyncIterator[Environment]:
    async with open_environment(None, TINY, report=lambda _: None, durable=False) as env:
        yield env


@pytest.mark.parametrize("name", list(BENCHMARKS))
async def test_a_benchmark_returns_figures_and_stops_its_processes(
    name: str, env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "MOST_CACHED", 8)  # So that a short soak fills the caches too.
    before = started_by_us(psutil.Process())
    figures: list[Figure] = []
    await collect(BENCHMARKS[name](env), figures)
    assert figures
    for figure in figures:
        assert figure.benchmark == name
        assert figure.value > 0
        assert figure.ratio is None or figure.ratio > 0
    assert started_by_us(psutil.Process()) <= before


def test_an_interrupted_run_leaves_no_process_and_no_file(parent: Path) -> None:
    running = subprocess.Popen(
        [*BENCH, "gate", "--in", str(parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + END_S
    while not (family := [child for child in psutil.Process(running.pid).children() if is_server(child)]):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    _, output = running.communicate(timeout=END_S)
    assert running.returncode == 130
    assert b"Traceback" not in output
    assert not [child for child in family if child.is_running()]
    assert list(parent.iterdir()) == []


def test_figures_come_as_json(parent: Path) -> None:
    done = subprocess.run(
        [*BENCH, "gate", "--json", "--in", str(parent), "--members=2000", "--claims=100", "--rounds=1"],
        capture_output=True,
        timeout=END_S,
        check=True,
    )
    output = json.loads(done.stdout)
    assert output["machine"]["cores"] >= 1
    (benchmark,) = output["benchmarks"]
    assert benchmark["name"] == "gate"
    assert {figure["unit"] for figure in benchmark["figures"]} == {"bytes", "claims/s"}
    assert all("met" in figure for figure in benchmark["figures"])


@pytest.mark.parametrize(
    "module", ["http_client", "checkout_client", "feed_client", "quiz_client", "app_client", "visit_client"]
)
def test_clients_start_without_the_engine(module: str) -> None:
    code = (
        f"import sys; import engage.bench.clients.{module};"
        "print([name for name in sys.argv[1:] if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True, timeout=END_S
    )
    assert done.stdout.strip() == "[]"


def started_by_us(parent: psutil.Process) -> set[psutil.Process]:
    """Descendants of `parent` that are parts of engage, without those that a PostgreSQL starts itself.

    A child that PostgreSQL has just forked has the command of its parent, so its own tells nothing.
    """
    try:
        children = {child for child in parent.children() if "engage" in command(child)}
    except psutil.NoSuchProcess:
        return set()
    return children.union(*(started_by_us(child) for child in children if "postgres" not in command(child)))


def is_server(child: psutil.Process) -> bool:
    return any(name in command(child) for name in ("valkey-server", "postgres"))


def command(child: psutil.Process) -> str:
    try:
        return " ".join(child.cmdline())
    except psutil.Error:
        return ""
