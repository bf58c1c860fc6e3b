"""`engage draw verify`, as an auditor runs it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from engage.beacons.sandbox import SandboxBeacon
from engage.cli.draw import draw
from engage.domain.draws.certificate import CertifiedRound, DrawCertificate, certified
from tests.domain.draws.rounds import ROUND, certificate, sign

SOUND = certificate(7, prizes=3)


def verify(tmp_path: Path, made: DrawCertificate | bytes) -> Result:
    file = tmp_path / "certificate.json"
    file.write_bytes(made if isinstance(made, bytes) else msgspec.json.encode(made))
    return CliRunner().invoke(draw, ["verify", str(file)])


def test_the_winners_of_a_proved_draw_are_shown(tmp_path: Path) -> None:
    result = verify(tmp_path, SOUND)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == f"winners: {', '.join(map(str, SOUND.winners or []))}"
    assert "7 entries, 3 prizes of 500 points" in result.output
    assert f"root {SOUND.root}" in result.output
    assert f"round {ROUND} of drand-quicknet" in result.output
    assert "sandbox" not in result.output


async def test_the_sandboxs_beacon_is_accepted_and_named(tmp_path: Path) -> None:
    beacon = SandboxBeacon("a folder")
    at = beacon.chain.time_of(ROUND)
    signed = CertifiedRound(ROUND, at, await beacon.signature(ROUND, at=at))
    made = sign(replace(SOUND, beacon="sandbox", chain=certified(beacon.chain), round=signed))
    result = verify(tmp_path, made)
    assert result.exit_code == 0, result.output
    assert "WARNING: the beacon is the sandbox's" in result.output


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (replace(SOUND, winners=[1, 3, 5]), "winners: root and signature give"),
        (replace(SOUND, prizes=4), "root: the terms and the entries have the root"),
        (
            replace(SOUND, round=replace(SOUND.round, signature=None), winners=None),
            "the draw waits for round",
        ),
        (b"", "not a certificate of a draw"),
        (b"[]", "not a certificate of a draw"),
        (b"\xff", "not a certificate of a draw"),
        (msgspec.json.encode(SOUND).replace(b"Z", b"+00:00"), "not written in its one form"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, made: DrawCertificate | bytes, words: str) -> None:
    result = verify(tmp_path, made)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_copy_of_before_the_round_is_compared(tmp_path: Path) -> None:
    kept, other, drawn = (tmp_path / name for name in ("kept.json", "other.json", "drawn.json"))
    frozen = replace(SOUND, round=replace(SOUND.round, signature=None), winners=None)
    kept.write_bytes(msgspec.json.encode(frozen))
    other.write_bytes(msgspec.json.encode(certificate(8, prizes=3)))
    drawn.write_bytes(msgspec.json.encode(SOUND))
    result = CliRunner().invoke(draw, ["verify", str(drawn), "--frozen", str(kept)])
    assert (result.exit_code, result.output.splitlines()[-1]) == (
        0,
        "everything but the signature and the winners is as in the copy of before the round",
    )
    # Sound in itself, and not what was published.
    result = CliRunner().invoke(draw, ["verify", str(other), "--frozen", str(kept)])
    assert result.exit_code == 1
    assert [line.strip() for line in result.output.splitlines()[1:]] == [
        "entries: not as in the copy of before the round",
        "root: not as in the copy of before the round",
    ]


def test_a_file_that_is_missing_is_a_mistake_of_the_caller() -> None:
    assert CliRunner().invoke(draw, ["verify", "missing.json"]).exit_code == 2


def test_neither_a_database_nor_a_network_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    file.write_bytes(msgspec.json.encode(SOUND))
    code = f"""
import sys
from engage.cli import main
try:
    main(["draw", "verify", {str(file)!r}])
except SystemExit as ended:
    assert ended.code in (None, 0), ended.code
loaded = {{"sqlalchemy", "asyncpg", "redis", "httpx", "socketserver"}} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("winners: ")
