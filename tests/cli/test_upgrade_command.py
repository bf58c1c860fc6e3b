"""`engage program upgrade`, as an operator runs it."""

from pathlib import Path

from engage import programs
from engage.flows.operations.install import install
from engage.flows.programs.publish import publish
from engage.runtime.services import open_services
from engage.settings import Settings
from tests.support.clock import NOON, StoppedClock
from tests.support.command_line import run
from tests.support.database import rows

RULES, _, _ = programs.text("in-mi-tokens/2017").partition("[[examples]]")
OLDER = RULES.replace("points = 2500\n", "points = 2400\n")
COMMAND = ("program", "upgrade")


async def test_it_shows_the_differences_and_publishes_when_told(settings: Settings, tmp_path: Path) -> None:
    async with open_services(settings, StoppedClock(NOON)) as services:
        await publish(
            services.db,
            OLDER,
            source="an older release",
            operator="test",
            clock=services.clock,
            past_allowed=True,
        )
        await install(settings)
        count = "SELECT count(*) FROM program_versions WHERE program_id = 'in-mi-tokens'"

        status, output = await run(settings, *COMMAND, cwd=tmp_path)
        assert status == 0, output
        assert "-points = 2400\n+points = 2500\n" in output
        assert (
            "in-mi-tokens 2017-r2 would be in force from 2026-11-22; to publish it, add --publish" in output
        )
        assert await rows(services.db, count) == [(1,)]

        status, output = await run(settings, *COMMAND, "eu-mi-points", cwd=tmp_path)
        assert (status, "no upgrade for eu-mi-points" in output) == (1, True)

        status, output = await run(settings, *COMMAND, "in-mi-tokens", "--publish", cwd=tmp_path)
        assert status == 0, output
        assert output.endswith("in-mi-tokens 2017-r2: in force from 2026-11-22\n")
        assert await rows(services.db, count) == [(2,)]

        status, output = await run(settings, *COMMAND, cwd=tmp_path)
        assert (status, output) == (0, "every preset has the rules of this release\n")
