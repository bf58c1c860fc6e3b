"""`engage openapi`: write the contract, and show where a file differs from it."""

from pathlib import Path

from click.testing import CliRunner

from engage.cli import main


def test_a_written_contract_passes_the_check_and_a_changed_one_fails(tmp_path: Path) -> None:
    file = tmp_path / "contracts" / "engage.yaml"
    runner = CliRunner()
    missing = runner.invoke(main, ["openapi", "--check", "--file", str(file)])
    assert missing.exit_code == 1
    assert runner.invoke(main, ["openapi", "--file", str(file)]).exit_code == 0
    assert runner.invoke(main, ["openapi", "--check", "--file", str(file)]).exit_code == 0
    file.write_text(file.read_text().replace("recordFuelTap", "fuelTap"))
    drifted = runner.invoke(main, ["openapi", "--check", "--file", str(file)])
    assert drifted.exit_code == 1
    assert "-      operationId: fuelTap" in drifted.output
    assert "+      operationId: recordFuelTap" in drifted.output
