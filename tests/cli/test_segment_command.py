"""`engage segment import` as an operator runs and kills it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from engage.cli import main
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.support.activities import PROGRAM, join, services_with_activities
from tests.support.audit import assert_audit_is_clean
from tests.support.database import rows
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S

_ADD_MEMBERS = text("""
INSERT INTO members (program_id, member_id, country, kind, joined_at)
SELECT :program, 'm-' || n, 'ES', 'person', now() FROM generate_series(1, 60000) n
""")
_ADD_BALANCES = text("INSERT INTO balances (program_id, member_id) SELECT program_id, member_id FROM members")


@pytest.fixture
def environment(settings: Settings) -> dict[str, str | None]:
    return {**to_environment(settings), "COLUMNS": "120"}


async def run(
    environment: dict[str, str | None], file: Path, *arguments: object, segment: str = "loyal"
) -> Result:
    """Run in a thread, because the command runs its own event loop."""
    named = ("--program", PROGRAM, "--segment", segment, *arguments)
    arguments = ("segment", "import", file, *named)
    return await asyncio.to_thread(CliRunner().invoke, main, [*map(str, arguments)], env=environment)


async def test_it_reports_counts_and_lines_that_were_left_out(
    settings: Settings, environment: dict[str, str | None], tmp_path: Path
) -> None:
    file = tmp_path / "loyal.csv"
    async with services_with_activities(settings) as services:
        for member_id in ("a", "b", "c"):
            await join(services, member_id)
        file.write_bytes(b'\xef\xbb\xbf"member_id"\r\na\r\nb\r\n\r\nb\r\n')
        done = await run(environment, file)
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines()[0] == (
            "2 members in loyal: 2 added, 0 removed; 1 lines name one again, 0 unknown, 0 bad"
        )
        assert done.stdout.splitlines()[1].startswith("version 1, in force from 2026-11-21 12:")
        assert [line.split(",")[0] for line in done.stderr.splitlines()] == [
            "reading",
            "loading",
            "comparing",
            "writing",
        ]
        file.write_text("b\nc\n[red]x\nnobody\n" + "u\n" * 120)
        done = await run(environment, file)
        assert done.exit_code == 1
        assert "line 3 expected the shop's id of a member" in done.stdout
        assert 'got "[red]x"' in done.stdout
        assert "line 4 nobody is no member" in done.stdout
        assert "and 21 more lines with an id of nobody" in done.stdout
        assert "2 members in loyal: 1 added, 1 removed; 0 lines name one again, 121 unknown, 1 bad" in (
            done.stdout
        )
        stays = "SELECT member_id, until IS NULL FROM segment_members ORDER BY 1"
        assert await rows(services.db, stays) == [("a", False), ("b", True), ("c", True)]
        assert await rows(services.db, "SELECT DISTINCT operator FROM segment_versions") == [
            ("command line",)
        ]


async def test_a_kill_in_the_middle_leaves_the_old_list_whole(
    settings: Settings, environment: dict[str, str | None], tmp_path: Path
) -> None:
    file = tmp_path / "many.csv"
    async with services_with_activities(settings) as services:
        async with services.db.begin() as conn:
            await conn.execute(_ADD_MEMBERS, {"program": PROGRAM})
            await conn.execute(_ADD_BALANCES)
        file.write_text("".join(f"m-{n}\n" for n in range(1, 30_001)))
        assert (await run(environment, file)).exit_code == 0
        before = await _lists(services)
        file.write_text("".join(f"m-{n}\n" for n in range(20_001, 60_001)))
        # The server cannot end the stays of those who are gone while another one reads them like this.
        async with services.db.begin() as conn:
            await conn.execute(text("SELECT FROM segment_members WHERE member_id = 'm-7' FOR UPDATE"))
            await _kill_while_writing(services, settings, file)
        assert await _lists(services) == before
        assert (await run(environment, file)).exit_code == 0
        assert await _lists(services) == [(2, 20_000, 40_000)]
        await assert_audit_is_clean(services)


async def _kill_while_writing(services: Services, settings: Settings, file: Path) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ENGAGE_")}
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engage.cli", "segment", "import", str(file)),
        *("--program", PROGRAM, "--segment", "loyal"),
        env=inherited | to_environment(settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE segment_members m SET%'
    """
    async with asyncio.timeout(WITHIN_S):
        while await rows(services.db, waiting) == [(0,)]:
            await asyncio.sleep(LOOK_AGAIN_S)
    running.send_signal(signal.SIGKILL)
    assert await running.wait() == -signal.SIGKILL


async def _lists(services: Services) -> list[tuple[object, ...]]:
    """Return (versions, stays that ended, stays that go on)."""
    return await rows(
        services.db,
        """
        SELECT (SELECT count(*) FROM segment_versions), count(*) FILTER (WHERE until IS NOT NULL),
               count(*) FILTER (WHERE until IS NULL)
        FROM segment_members
        """,
    )


async def test_a_wrong_call_is_refused_in_one_line_and_writes_nothing(
    settings: Settings, environment: dict[str, str | None], tmp_path: Path
) -> None:
    async with services_with_activities(settings) as services:
        good, empty, sheet = (tmp_path / name for name in ("good.csv", "empty.csv", "sheet.csv"))
        good.write_text("a\n")
        empty.write_text("")
        sheet.write_bytes(b"PK\x03\x04")
        for message, *arguments in (
            ("empty; a file without rows has a line member_id", empty),
            ("a spreadsheet: save it as CSV in UTF-8", sheet),
            ("there is no such program", good, "--program", "nowhere"),
            ("'two words' is not a name of letters", good, "--segment", "two words"),
            ("does not exist", tmp_path / "none.csv"),
        ):
            failed = await run(environment, *arguments)
            assert failed.exit_code in (1, 2)
            assert message in " ".join(failed.output.replace("│", " ").split())
            assert "Traceback" not in failed.output
        nowhere = environment | {"ENGAGE_DATABASE_URL": "postgresql+asyncpg://postgres@127.0.0.1:1/engage"}
        failed = await run(nowhere, good)
        assert failed.exit_code == 1
        assert "does not answer; nothing has changed" in failed.output
        assert await rows(services.db, "SELECT * FROM segments") == []
