"""`engage program`, as a marketer runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engage import programs
from engage.cli.program import program

# `check` needs none of these, and each takes longer to import than the whole check.
HEAVY = ["sqlalchemy", "litestar", "redis", "arq", "asyncpg", "granian", "websockets", "rich.table"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, list(arguments))


@pytest.fixture
def presets(tmp_path: Path) -> dict[str, Path]:
    files = {}
    for name in programs.names():
        files[name] = tmp_path / f"{name.replace('/', '-')}.toml"
        files[name].write_text(programs.text(name), encoding="utf-8")
    return files


def test_valid_documents_pass_the_check(presets: dict[str, Path]) -> None:
    result = run("check", *map(str, presets.values()))
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{document.id} {document.version}: {len(document.rules)} "
        f"{'rule' if len(document.rules) == 1 else 'rules'}, "
        f"{len(document.examples)} examples, all as expected"
        for document in map(programs.preset, programs.names())
    ]


def test_each_problem_is_shown_with_its_file_and_field(presets: dict[str, Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    text = programs.text("eu-mi-points/2022")
    wrong.write_text(
        text.replace('"daily_streak"', '"dayly_streak"').replace("min_age = 18", 'min_age = "18"')
    )
    empty, missing = tmp_path / "empty.toml", tmp_path / "missing.toml"
    empty.write_bytes(b"title = '\xff'")
    result = run("check", str(presets["eu-mi-points/2020"]), str(wrong), str(missing), str(empty))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f'{wrong}: eligibility.min_age: expected a whole number from 0 to 120, got "18"',
        f"{wrong}: rules[6].limit.type: expected one of once, once_per, per_window, daily_streak, same_as, "
        'first_orders, got "dayly_streak" (did you mean daily_streak?)',
        f"{missing}: the file: expected a document, got no such file or directory",
        f"{empty}: the file: expected text in UTF-8, got byte 0xff at offset 9",
        "eu-mi-points 2020: 7 rules, 29 examples, all as expected",
    ]


def test_a_failing_example_fails_the_check(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    text = programs.text("eu-mi-points/2022")
    wrong.write_text(text.replace("points = 50, days = 7", "points = 40, days = 7"))
    result = run("check", str(wrong))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert any("fuel_streak 50" in line and "got" in line and "fuel_streak 40" in line for line in lines)
    assert "    fuel_streak: Day 7 in a row: every 7 days there is a bonus of 40 points." in lines
    assert lines[-1].startswith("eu-mi-points 2022: 8 rules, ")
    assert lines[-1].endswith(" not as expected")


def test_conflicting_versions_fail_the_check(presets: dict[str, Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    text = programs.text("eu-mi-points/2022").split("# ---- Joining", maxsplit=1)[0]
    limit = 'limit = { type = "once_per", field = "product_id" }'
    once = re.sub(
        r"^also = \[.*?^\]\n", "", text.replace(limit, 'limit = { type = "once" }'), flags=re.M | re.S
    )
    wrong.write_text(once)
    result = run("check", str(wrong), str(presets["eu-mi-points/2020"]))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "eu-mi-points 2022: 8 rules, 0 examples, no examples",
        "eu-mi-points 2020: 7 rules, 29 examples, all as expected",
        f"{wrong}: rules[5].limit.type: expected once_per as in version 2020, or a new id for a new rule, "
        'got "once"',
    ]


def test_without_a_terminal_a_program_is_shown_as_plain_text(presets: dict[str, Path]) -> None:
    result = run("show", str(presets["eu-mi-points/2022"]))
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert lines[0] == "Mi Points: eu-mi-points 2022"
    assert {"Who may join: people.", "Members are 18 years old or older.", "One account a person."} <= set(
        lines
    )
    assert "Points end 12 months after they became active." in lines
    share = next(line for line in lines if line.startswith("share_link "))
    assert share.split("  ")[-1] == "after 5 minutes"
    assert "3 a month" in share
    assert result.output.isascii()


def test_the_worth_of_points_is_shown_in_money() -> None:
    shown = {name: run("show", name).output for name in programs.names()}
    assert "1 point is worth 100 XOF." in shown["bf-mi-points/2024"]
    assert "1 per 10,000 XOF, shipping too" in shown["bf-mi-points/2024"]
    assert "not open yet" in shown["bf-mi-points/2024"]
    assert re.search(
        "mi_points +Do you know Mi Points\\? +5 +3 of 5, 2 to pass +1 a week", shown["bf-mi-points/2024"]
    )
    assert "Points end on 1 January at 12:00" in shown["bf-mi-points/2024"]
    assert "Points pay up to 30 % of an order" in shown["by-mi-bonus/2024"]
    assert "Points never end." in shown["by-mi-bonus/2024"]
    assert "as on the price tag" in shown["by-mi-bonus/2024"]
    assert "from a balance of 1,000 on" in shown["eu-mi-points/2020"]
    assert "promised their points within 16 days" in shown["eu-mi-points/2020"]
    assert "approved by somebody who did not write them" in shown["eu-mi-points/2020"]
    assert "50.00 EUR/GBP off an order" in shown["eu-mi-points/2022"]
    assert "the right to buy redmi-note-4" in shown["in-mi-tokens/2017"]
    assert "1 per 10.00 INR" in shown["in-mi-tokens/2017"]
    assert "the first 5 delivered orders since 1 May 2017" in shown["in-mi-tokens/2017"]


def test_presets_are_shown_by_name_and_listed() -> None:
    ids = ["bf-mi-points", "by-mi-bonus", "eu-mi-points", "hu-mi-points", "in-mi-tokens"]
    assert run("show").output == "".join(run("show", program_id).output for program_id in ids)
    assert "after 24 hours" in run("show", "eu-mi-points/2020").output
    listed = run("list").output
    assert all(name in listed for name in programs.names())
    unknown = run("show", "us-mi-points")
    assert unknown.exit_code == 1
    assert "no preset is called us-mi-points" in unknown.output


def test_an_invalid_document_is_not_shown(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("id = 1")
    result = run("show", str(wrong))
    assert result.exit_code == 1
    assert f"{wrong}: id: expected a name" in result.output


def test_the_schema_is_printed_as_json() -> None:
    assert json.loads(run("schema").output)["title"] == "engage program document"


def test_a_check_imports_nothing_heavy() -> None:
    code = (
        "import sys; from engage.cli.program import program;"
        "program(['check', sys.argv[1]], standalone_mode=False);"
        "print([name for name in sys.argv[2:] if name in sys.modules])"
    )
    file = Path(programs.__file__).parent / "eu-mi-points" / "2022.toml"
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), *HEAVY], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
