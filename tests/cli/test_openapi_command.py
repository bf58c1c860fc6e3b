"""`engage openapi`: write the contract and the schemas, and show where a file differs."""

from pathlib import Path

from click.testing import CliRunner, Result

from engage.cli import main


def test_a_written_contract_passes_the_check_and_a_changed_one_fails(tmp_path: Path) -> None:
    file = tmp_path / "contracts" / "engage.yaml"
    built = tmp_path / "built"

    def openapi(*options: str) -> Result:
        return CliRunner().invoke(main, ["openapi", "--file", str(file), "--built", str(built), *options])

    assert openapi("--check").exit_code == 1
    assert openapi().exit_code == 0
    assert openapi("--check").exit_code == 0
    changes = {
        file: ("recordFuelTap", "fuelTap"),
        file.parent / "campaign.schema.json": ('"multiply"', '"multipy"'),
        built / "engage.json": ('"/v1/fuel/taps"', '"/v1/fuel/taps/"'),
    }
    for path, (old, new) in changes.items():
        path.write_text(path.read_text().replace(old, new))
    drifted = openapi("--check")
    assert drifted.exit_code == 1
    assert [path for path in changes if f"--- {path}\n" not in drifted.output] == []
    assert "-      operationId: fuelTap" in drifted.output
    assert "+      operationId: recordFuelTap" in drifted.output
    assert "multipy" in drifted.output
    assert '-"/v1/fuel/taps/":{' in drifted.output
    assert f"{built / 'sandbox.json'} agrees" in drifted.output
