"""`engage report` as finance runs it."""

import asyncio
import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engage.cli import main
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.support.activities import join, link, perform, services_with_activities
from tests.support.clock import NOON, advance, set_sandbox_clock
from tests.support.database import rows


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Two hours after NOON: 50 active points in ES and in GB each, 21 pending in ES."""
    async with services_with_activities(settings) as services:
        await join(services)
        await join(services, "m-2", "GB")
        await settle_due(services, now=advance(services, timedelta(hours=1)))
        await perform(services, link())
        await set_sandbox_clock(settings, NOON + timedelta(hours=2))
        yield services


async def run(services: Services, *arguments: object) -> Result:
    """Run in a thread, because the command runs its own event loop."""
    environment = {**to_environment(services.settings), "COLUMNS": "120"}
    return await asyncio.to_thread(
        CliRunner().invoke, main, ["report", *map(str, arguments)], env=environment
    )


async def test_liability_is_a_table_of_plain_columns(services: Services) -> None:
    done = await run(services, "liability", "--from", "2026-11-21T12:00:00.000001Z")
    assert done.exit_code == 0, done.output
    euros, pounds = done.output.split("members owe")[1:]
    for part, pending in ((euros, "21"), (pounds, "–")):
        lines = {line[:26].strip(): line[26:].split() for line in part.splitlines()}
        assert lines["in 181 to 365 days"][0] == "50"
        assert lines["outstanding"][0] == "50"
        assert lines["pending, not owed yet"][0] == pending
        assert lines["issued"][0] == "50"
        assert "reconciled: " in part
    assert max(map(len, done.output.splitlines())) <= 120
    assert "\x1b" not in done.output


async def test_liability_is_json_csv_and_a_chart(services: Services, tmp_path: Path) -> None:
    report = json.loads((await run(services, "liability", "--at", "2026-11-21T13:00:00Z", "--json")).output)
    assert report["at"] == "2026-11-21T13:00:00Z"
    assert [(item["currency"], item["outstanding"]) for item in report["items"]] == [("EUR", 50), ("GBP", 50)]

    printed = (await run(services, "liability", "--program", "playground", "--csv", "-")).output
    table = list(csv.DictReader(io.StringIO(printed)))
    assert [row["points"] for row in table if (row["part"], row["item"]) == ("outstanding", "all")] == [
        "50"
    ] * 2

    files = tmp_path / "liability.csv", tmp_path / "liability.svg"
    done = await run(services, "liability", "--csv", files[0], "--chart", files[1])
    assert done.exit_code == 0, done.output
    assert files[0].read_bytes().startswith(b"program,currency,from,at,part,item,")
    assert files[0].read_bytes().count(b"\r\n") == len(table) + 1
    drawn = ET.parse(files[1])
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"playground, EUR", "playground, GBP", "+50", "issued", "181 to 365 days"} <= set(texts)


async def test_a_past_balance_is_reported(services: Services) -> None:
    done = await run(services, "balance", "m-1", "--at", "2026-11-21T13:00:00Z")
    assert done.output.splitlines()[-1].split() == ["playground", "50", "21", "0", "0"]
    (report,) = json.loads(
        (await run(services, "balance", "m-1", "--at", "2026-11-21T12:30:00Z", "--json")).output
    )
    assert report["balance"] == {"active": 0, "pending": 50, "held": 0, "debt": 0}


async def test_books_that_do_not_reconcile_fail(services: Services) -> None:
    await rows(services.db, "SELECT 1")
    async with services.db.begin() as conn:
        await conn.exec_driver_sql(
            "INSERT INTO lot_moves SELECT program_id, member_id, 99, credit_id, at, 5"
            " FROM entries WHERE member_id = 'm-1'"
        )
    done = await run(services, "liability")
    assert done.exit_code == 1
    assert "does not reconcile" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["liability", "--at", "2027-01-01T00:00:00Z"], "in the future"),
        (["liability", "--at", "2026-11-21"], "in the future"),
        (["liability", "--at", "soon"], "neither a date nor a time"),
        (["liability", "--from", "2026-11-22"], "later than the report"),
        (["liability", "--program", "nowhere"], "no such program"),
        (["liability", "--json", "--csv", "-"], "standard output"),
        (["liability", "--csv", "/nowhere/x.csv"], "No such file"),
        (["balance", "nobody"], "no such member"),
    ],
)
async def test_a_wrong_call_is_refused_in_one_line(
    services: Services, arguments: list[str], message: str
) -> None:
    failed = await run(services, *arguments)
    assert failed.exit_code in (1, 2)
    assert message in " ".join(failed.output.replace("│", " ").split())
    assert "Traceback" not in failed.output
