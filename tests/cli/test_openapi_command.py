"""`engage openapi`: the contract is written, and drift from it is told."""

from pathlib import Path

from click.testing import CliRunner

from engage.cli import main


def test_what_was_written_passes_the_check_and_what_was_changed_does_not(tmp_path: Path) -> None:
    file = tmp_path / "contracts" / "engage.yaml"
    runner = CliRunner()
    missing = runner.invoke(main, ["openapi", "--check", "--file", str(file)])
    assert missing.exit_code == 1
    assert runner.invoke(main, ["openapi", "--file", str(file)]).exit_code == 0
    assert runner.invoke(main, ["openapi", "--check", "--file", str(file)]).exit_code == 0
    file.write_text(file.read_text().replace("tapFuel", "fuelTap"))
    drifted = runner.invoke(main, ["openapi", "--check", "--file", str(file)])
    assert drifted.exit_code == 1
    assert "-      operationId: fuelTap" in drifted.output
    assert "+      operationId: tapFuel" in drifted.output
