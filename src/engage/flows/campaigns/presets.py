"""The preset campaigns, as drafts that operators can put into force."""

from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.document.errors import DocumentError
from engage.domain.identity import Operator
from engage.flows.campaigns.change import add_draft
from engage.flows.campaigns.check import check_within, lock_ids
from engage.programs import campaigns
from engage.runtime.database import transaction
from engage.runtime.database_clock import read_clock
from engage.runtime.program_cache import ProgramCache
from engage.settings import Settings
from engage.store.campaigns.versions import read_keys

# The author of presets: no key approves as this one.
AUTHOR: Final = Operator("engage", "engage")

log = structlog.get_logger()


async def add_presets(settings: Settings, db: AsyncEngine) -> None:
    """Add those that are not there, each once for ever: whatever has become of one is left alone. One that
    does not fit what operators have made of its program is left out.

    Raises Unavailable.
    """
    async with transaction(db) as conn:
        known, clock = await read_keys(conn), await read_clock(settings, conn)
    missing = [name for name in campaigns.names() if tuple(name.split("/")) not in known]
    if not missing:
        return
    programs = ProgramCache(clock)
    await programs.refresh(db)
    for name in missing:
        campaign = campaigns.read(name)
        try:
            async with transaction(db) as conn:
                await lock_ids(conn)
                await check_within(programs, conn, campaign)
                await add_draft(conn, campaign, now=clock.now(), operator=AUTHOR)
        except DocumentError as error:
            problems = [str(problem) for problem in error.problems]
            log.info("a preset campaign was left out", preset=name, problems=problems)
