"""`engage torture` refuses a run that could judge nothing, and fails after one that did."""

import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rich_click as click
from click.testing import CliRunner, Result

from engage.cli import COMMANDS, load, main
from engage.cli.options import Range
from engage.torture import faketime, private_disk
from engage.torture.plan import Plan, Step, make_plan
from engage.torture.run import Result as RunResult

USAGE = 2
KILL = Step(round=0, fault="kill", target="api-1", begin_s=0, length_s=0)
NO_RIGHTS = "a private file system needs more rights"


def engage(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "300"})


def refused(*arguments: str) -> str:
    """Run a command that has to refuse its arguments; return the message."""
    result = engage(*arguments)
    assert result.exit_code == USAGE, (result.output, result.exception)
    return result.output


@pytest.fixture
def poor_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without libfaketime and without rights: neither `clock` nor `disk-full` can be done."""
    monkeypatch.setattr(faketime, "LIBRARIES", ())
    monkeypatch.setattr(private_disk, "mount", lambda _path: NO_RIGHTS)


@pytest.mark.usefixtures("poor_machine")
@pytest.mark.parametrize(
    ("faults", "reasons"),
    [
        ("clock", ["clock: libfaketime is not installed"]),
        ("disk-full", [f"disk-full: {NO_RIGHTS}"]),
        ("clock, disk-full", ["clock: libfaketime is not installed", f"disk-full: {NO_RIGHTS}"]),
    ],
)
def test_faults_that_cannot_be_done_here_are_refused_at_the_start(
    tmp_path: Path, faults: str, reasons: list[str]
) -> None:
    message = refused("torture", "--faults", faults, "--in", str(tmp_path))
    for reason in reasons:
        assert reason in message
    assert "starting" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("minutes", ["nan", "inf", "-inf", "0", "-1", "1440.1", "1e300"])
def test_a_time_that_no_run_can_take_is_refused(minutes: str) -> None:
    assert "--minutes" in refused("torture", "--minutes", minutes)


@pytest.mark.parametrize("faults", [",", "", " ", "kill,", "kill,,stop"])
def test_a_fault_without_a_name_is_refused(faults: str) -> None:
    assert "a name is empty" in refused("torture", "--faults", faults)


def test_a_fault_that_is_not_there_is_refused() -> None:
    assert "unknown: flood; there are kill, stop, " in refused("torture", "--faults", "kill,flood")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fault": "flood"}, "unknown: flood; there are kill, stop, "),
        ({"target": "moon"}, "kill cannot be done to 'moon', but to api-1, "),
        ({"parameters": {"delay_s": 1.0}}, "kill takes no parameters"),
        ({"fault": "slow", "target": "*/postgres"}, "slow takes delay_s"),
    ],
)
def test_a_plan_with_what_nothing_can_do_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    step = msgspec.structs.replace(KILL, **change)
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(Plan(seed=1, seconds=1, steps=[KILL, step, step])))
    said = refused("torture", "--plan", str(file), "--in", str(tmp_path))
    assert said.count(message) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_the_help_says_how_long_a_run_may_last() -> None:
    assert "more than 0, at most 1,440" in engage("torture", "--help").output


@pytest.mark.parametrize("interval", ["nan", "inf"])
def test_top_refuses_an_interval_that_is_no_number_of_seconds(interval: str) -> None:
    assert "--interval" in refused("top", "--interval", interval, "127.0.0.1:9100")


def test_no_option_of_any_command_takes_a_number_that_is_not_finite() -> None:
    floats = [
        option.name
        for option in itertools.chain.from_iterable(map(options_of, map(load, COMMANDS)))
        if isinstance(option.type, click.FloatRange | type(click.FLOAT)) and type(option.type) is not Range
    ]
    assert floats == []


def options_of(command: click.Command) -> Iterator[click.Parameter]:
    yield from command.params
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from options_of(each)


def test_the_shortest_run_has_a_round() -> None:
    assert len(make_plan(1, minutes=0.001).rounds()) == 1


@pytest.mark.parametrize(("unproved", "status"), [("no round of faults was done", 1), ("", 0)])
def test_a_run_that_proves_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unproved: str, status: int
) -> None:
    async def run(plan: Plan, **_: object) -> RunResult:
        return RunResult(
            plan=plan,
            requests=1,
            accepted=1,
            rounds=[],
            judged=0,
            unproved=unproved,
            skipped={},
            broken=[],
            folder=str(tmp_path),
        )

    (tmp_path / "record.jsonl").touch()
    # The command has the name of its module.
    monkeypatch.setattr(importlib.import_module("engage.cli.torture"), "run", run)
    result = engage("torture", "--minutes", "1")
    assert result.exit_code == status, result.output
    assert ("every promise was kept" in result.output) is (not unproved)
