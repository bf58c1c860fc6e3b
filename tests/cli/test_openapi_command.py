"""`engage openapi`: write the contract and the schemas, and show where a file differs."""

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
    schema = file.parent / "campaign.schema.json"
    text = schema.read_text()
    schema.write_text(text.replace('"multiply"', '"multipy"'))
    drifted = runner.invoke(main, ["openapi", "--check", "--file", str(file)])
    assert (drifted.exit_code, "multipy" in drifted.output) == (1, True)
    schema.write_text(text)
    file.write_text(file.read_text().replace("recordFuelTap", "fuelTap"))
    drifted = runner.invoke(main, ["openapi", "--check", "--file", str(file)])
    assert drifted.exit_code == 1
    assert "-      operationId: fuelTap" in drifted.output
    assert "+      operationId: recordFuelTap" in drifted.output
