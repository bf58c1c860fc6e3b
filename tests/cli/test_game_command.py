"""`engage game verify`, as anyone runs it who has a certificate and nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engage.cli.game import game as command
from tests.domain.games.certificates import Run, game, names

HEAVY = ["sqlalchemy", "litestar", "redis", "arq", "asyncpg", "granian", "websockets", "httpx"]


def written(folder: Path, certificate: Any) -> Path:
    file = folder / "certificate.json"
    file.write_text(certificate if isinstance(certificate, str) else json.dumps(certificate))
    return file


def verify(file: Path) -> Result:
    return CliRunner().invoke(command, ["verify", str(file)])


def played() -> dict[str, Any]:
    run = Run(game())
    for n in range(30):
        run.play(names(4)[n % 4], day=n // 10)
    return run.certificate()


def test_a_right_certificate_passes_and_says_what_was_won(tmp_path: Path) -> None:
    certificate = played()
    result = verify(written(tmp_path, certificate))
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("game wheel of market, run 1: 30 plays, ")
    assert certificate["commitment"] in lines[1]
    assert lines[-1] == "every outcome follows from the seed"


def test_a_changed_certificate_fails_and_says_what_is_wrong(tmp_path: Path) -> None:
    certificate = played()
    certificate["plays"][3]["prize"] = "big"
    result = verify(written(tmp_path, certificate))
    assert result.exit_code == 1
    assert "certificate.json: the digest is not that of the certificate" in result.output


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "no JSON"), ("[]", "not a certificate of a game"), ("[" * 5_000, "no JSON")],
)
def test_another_file_is_refused_in_a_line(tmp_path: Path, text: str, problem: str) -> None:
    result = verify(written(tmp_path, text))
    assert (result.exit_code, problem in result.output) == (1, True), result.output
    assert "Traceback" not in result.output


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    result = verify(tmp_path / "none.json")
    assert (result.exit_code, "cannot be read" in result.output) == (1, True)


def test_it_needs_no_server(tmp_path: Path) -> None:
    script = f"import sys, engage.cli.game; sys.exit(str(set({HEAVY}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert found.stderr.strip() == "set()"
