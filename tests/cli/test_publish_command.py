"""`engage program publish` as an operator runs it."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from engage.cli import main
from engage.settings import Settings, to_environment
from tests.support import orders


async def publish(settings: Settings, file: Path) -> Result:
    """Run in a thread, because the command runs its own event loop."""
    environment = {**to_environment(settings), "COLUMNS": "120"}
    return await asyncio.to_thread(
        CliRunner().invoke, main, ["program", "publish", str(file)], env=environment
    )


@pytest.mark.parametrize("in_sandbox", [False, True])
async def test_a_version_that_begins_in_the_past_of_members_is_refused_outside_a_sandbox(
    settings: Settings, tmp_path: Path, in_sandbox: bool
) -> None:
    file = tmp_path / "two.toml"
    file.write_text(orders.DOCUMENT.replace('version = "1"', 'version = "2"').replace("2020-01", "2021-01"))
    async with orders.services_with_orders(settings) as services:
        await orders.join(services)
        done = await publish(settings if in_sandbox else replace(settings, sandbox=None), file)
    if in_sandbox:
        assert (done.exit_code, "in force from 2021-01-01" in done.output) == (0, True), done.output
    else:
        assert (done.exit_code, "in_the_past" in done.output) == (1, True), done.output
        assert "would be in force from 2021-01-01" in done.output
