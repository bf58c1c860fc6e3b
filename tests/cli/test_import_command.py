"""`engage import` as an operator runs and kills it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engage.cli import main
from engage.flows.members.register import MemberRegistration, admit
from engage.settings import Settings, to_environment
from engage.store.members.members import add_member
from tests.support.activities import PROGRAM, services_with_activities
from tests.support.clock import NOON
from tests.support.database import rows
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S


@pytest.fixture
def environment(settings: Settings) -> dict[str, str | None]:
    return {**to_environment(settings), "COLUMNS": "120"}


async def run(environment: dict[str, str | None], *arguments: object) -> Result:
    """Run in a thread, because the command runs its own event loop."""
    return await asyncio.to_thread(
        CliRunner().invoke, main, ["import", *map(str, arguments)], env=environment
    )


async def test_it_reports_counts_and_writes_rejected_rows_to_a_file(
    settings: Settings, environment: dict[str, str | None], tmp_path: Path
) -> None:
    file = tmp_path / "old-cards.csv"
    file.write_text("member_id,country,points\na,ES,100\nb,[red]US,5\nc,ES,[bold]7\nd,GB,\n")
    async with services_with_activities(settings) as services:
        done = await run(environment, file, "--program", PROGRAM)
        assert done.exit_code == 1, done.output
        assert "line 3 column country: " in done.output
        assert 'got "[red]US"' in done.output
        assert "line 4 column points: " in done.output
        assert "4 rows: 2 imported, 0 already there, 2 rejected" in done.output
        assert "2 new members, 100 points" in done.output
        rejected = tmp_path / "old-cards.rejected.csv"
        assert str(rejected) in done.output.replace("\n", "")
        assert rejected.read_text().splitlines()[1].startswith('b,[red]US,5,3,"column country: ')

        credits = await rows(services.db, "SELECT source_key, activity_at FROM credits")
        assert [(key, str(at)[:13]) for key, at in credits] == [("opening:old-cards", "2026-11-21 12")]

        rejected.write_text(rejected.read_text().replace("[red]US", "ES").replace("[bold]", ""))
        again = await run(environment, rejected, "--program", PROGRAM)
        assert (again.exit_code, again.output.splitlines()[0]) == (
            0,
            "2 rows: 2 imported, 0 already there, 0 rejected",
        )
        last = await run(environment, file, "--program", PROGRAM)
        assert "4 rows: 0 imported, 2 already there, 2 rejected" in last.output
        assert await rows(services.db, "SELECT sum(active) FROM balances") == [(112,)]


async def test_after_a_kill_it_continues_when_started_again(
    settings: Settings, environment: dict[str, str | None], tmp_path: Path
) -> None:
    file = tmp_path / "many.csv"
    lines = [f"i-{n},ES,person {n},C-{n:05d},{n % 100}\n" for n in range(9_000)]
    file.write_text("member_id,country,person_ref,card_numbers,points\n" + "".join(lines))
    async with services_with_activities(settings) as services:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ENGAGE_")}
        # A batch in the middle waits for a member who is being registered.
        async with services.db.connect() as conn:
            joining = MemberRegistration(member_id="i-5000", program=PROGRAM, country="ES")
            await add_member(conn, admit(services, joining, now=NOON).member, now=NOON)
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "engage.cli", "import", str(file), "--program", PROGRAM),
                env=inherited | to_environment(settings),
                stdout=asyncio.subprocess.DEVNULL,
            )
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(WITHIN_S):
                while await rows(services.db, waiting) == [(0,)]:
                    await asyncio.sleep(LOOK_AGAIN_S)
            running.send_signal(signal.SIGKILL)
            assert await running.wait() == -signal.SIGKILL
            await conn.rollback()
        ((imported, points, cards),) = await rows(
            services.db,
            """
            SELECT count(*), sum(active),
                   (SELECT count(*) FROM members m JOIN card_numbers USING (program_id, member_id))
            FROM balances
            """,
        )
        assert isinstance(imported, int)
        assert 0 < imported < 9_000
        assert (points, cards) == (sum(n % 100 for n in range(imported)), imported), "batches are atomic"

        done = await run(environment, file, "--program", PROGRAM)
        assert done.exit_code == 0, done.output
        assert f"9,000 rows: {9_000 - imported:,} imported, {imported:,} already there" in done.output
        assert await rows(services.db, "SELECT count(*), sum(active) FROM balances") == [
            (9_000, sum(n % 100 for n in range(9_000)))
        ]


async def test_a_wrong_call_is_refused_in_one_line_and_writes_nothing(
    settings: Settings, environment: dict[str, str | None], tmp_path: Path
) -> None:
    async with services_with_activities(settings) as services:
        good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
        good.write_text("member_id,country\na,ES\n")
        bad.write_text("member_id;country\na;ES\n")
        for message, *arguments in (
            ("separated by semicolons", bad, "--program", PROGRAM),
            ("there is no such program", good, "--program", "nowhere"),
            ("'two words' has other characters", good, "--program", PROGRAM, "--name", "two words"),
            ("does not exist", tmp_path / "none.csv", "--program", PROGRAM),
            ("Missing option", good),
        ):
            failed = await run(environment, *arguments)
            assert failed.exit_code in (1, 2)
            assert message in " ".join(failed.output.replace("│", " ").split())
            assert "Traceback" not in failed.output
        assert await rows(services.db, "SELECT count(*) FROM members") == [(0,)]
        assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.csv", "good.csv"]
        nowhere = environment | {"ENGAGE_DATABASE_URL": "postgresql+asyncpg://postgres@127.0.0.1:1/engage"}
        failed = await run(nowhere, good, "--program", PROGRAM)
        assert (failed.exit_code, "does not answer" in failed.output) == (1, True)
