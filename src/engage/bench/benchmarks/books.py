"""`books`: the commands that read the whole ledger, with a million members and two settled credits each."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text

from engage.bench.figures import Figure
from engage.bench.setup.books import Members, add_books
from engage.bench.setup.commands import run_command
from engage.bench.setup.constants import PRESET
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import vacuum
from engage.bench.setup.queries import fetch_row
from engage.programs import preset
from engage.runtime.services import open_services

MAX_AUDIT_S: Final = 60.0
MAX_LIABILITY_S: Final = 10.0
MAX_REBUILD_S: Final = 60.0
# As long as an id of the shop is: 36 characters with the number.
PREFIX: Final = "books-01234567-0123-0123-0123-"
CREDITS: Final = 2
DAYS_AGO: Final = 10


# Other benchmarks write rows that an audit finds, such as those of their baselines.
_OTHERS = text("SELECT EXISTS (SELECT FROM members)")


async def run(env: Environment) -> list[Figure]:
    """Fill the books and run each command. Alone in its installation, no command may find anything broken."""
    members = env.sizes.members
    env.report(f"books: adding {members:,} members with {CREDITS} settled credits each")
    async with open_services(env.settings) as services:
        now = services.clock.now()
        (others,) = await fetch_row(services.db, _OTHERS)
        added = Members(preset(PRESET), PREFIX, 0, members, CREDITS)
        await add_books(env.settings.database_url, added, now=now)
        await vacuum(services.db)
    past = now - timedelta(days=DAYS_AGO)
    liability = "report", "liability", "--json"
    return [
        await _timed(env, "`engage audit`", MAX_AUDIT_S, "audit", may_find=others),
        await _timed(env, "`engage report liability`", MAX_LIABILITY_S, *liability, may_find=others),
        await _timed(
            env,
            f"the same as of {DAYS_AGO} days before, for a period of as many days",
            MAX_LIABILITY_S,
            *liability,
            *("--at", past.isoformat(), "--from", (past - timedelta(days=DAYS_AGO)).isoformat()),
            may_find=others,
        ),
        await _timed(env, "`engage rebuild`", MAX_REBUILD_S, "rebuild"),
    ]


async def _timed(
    env: Environment, what: str, at_most: float, *arguments: str, may_find: bool = False
) -> Figure:
    env.report(f"books: {what}")
    done = await run_command(env, *arguments, may_find=may_find)
    return Figure(
        benchmark="books",
        what=f"{what}, {env.sizes.members * CREDITS:,} settled credits",
        value=done.seconds,
        unit="s",
        at_most=at_most,
        note=done.memory,
    )
