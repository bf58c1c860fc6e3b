"""The cases that hypothesis generates, seen in runs of pytest of their own; and that all else has a seed."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

DRAWN = """
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.support.generated_cases import cases

{imports}

@settings(max_examples=cases(10))
@given(st.integers(), st.text(), st.lists(st.sampled_from("abc")))
def test_values(number, text, letters):
    print("drawn", number, ascii(text), *letters)


class Machine(RuleBasedStateMachine):
    @rule(number=st.integers())
    def step(self, number):
        print("drawn", number)


def test_machine():
    few = settings(max_examples=cases(5), stateful_step_count=5)
    run_state_machine_as_test(Machine, settings=few)


@given(st.integers())
def test_failure(number):
    assert number < 1_000_000
"""


def run(folder: Path, *arguments: str, imports: str = "") -> tuple[list[str], str]:
    """(what was drawn, all output) of the tests in DRAWN."""
    file = folder / "test_drawn.py"
    file.write_text(DRAWN.format(imports=imports))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-s", "-c", "/dev/null", "--rootdir", str(folder)),
            *("-p", "_hypothesis_pytestplugin", "-p", "tests.support.generated_cases"),
            *("-p", "no:cacheprovider", *arguments, str(file)),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("drawn")], done.stdout


def test_the_cases_are_the_same_in_every_run_whatever_else_is_imported(tmp_path: Path) -> None:
    drawn, output = run(tmp_path)
    assert "@reproduce_failure" in output
    assert run(tmp_path, imports="import engage.domain.program.program")[0] == drawn
    assert run(tmp_path, "--hypothesis-seed", "1")[0] == drawn


def test_exploring_has_fresh_cases_and_ten_times_as_many(tmp_path: Path) -> None:
    fixed, _ = run(tmp_path)
    one, output = run(tmp_path, "--hypothesis-profile", "explore")
    other, _ = run(tmp_path, "--hypothesis-profile", "explore")
    assert "@reproduce_failure" in output
    assert one != other
    assert len(one) > 5 * len(fixed)


def test_every_other_generator_of_the_tests_has_a_seed() -> None:
    # A free port may be any.
    unseeded = re.compile(r"\bRandom\(\)|(?<!\.)\brandom\.(?!Random\(|SystemRandom\(\))\w+\(")
    found = [
        f"{path}:{number}: {line}"
        for path in (ROOT / "tests").rglob("*.py")
        if path != Path(__file__) and "\nimport random\n" in (text := path.read_text())
        for number, line in enumerate(text.splitlines(), start=1)
        if unseeded.search(line)
    ]
    assert not found, "\n".join(found)
