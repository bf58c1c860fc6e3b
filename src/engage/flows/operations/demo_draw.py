"""A prize draw of the demo store that is open now, as an operator would add one.

Draws have dates, and a program document is the same on every day.
"""

from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.draws.definition import Conditions, Draw
from engage.domain.draws.kind import DRAW
from engage.flows.definitions.change import add_version
from engage.programs import DEMO_STORE
from engage.runtime.database_clock import read_clock
from engage.runtime.program_cache import parsed
from engage.settings import Settings
from engage.store import definitions as store
from engage.store import programs
from engage.store.audit_log import INSTALLATION

OPEN_FOR: Final = timedelta(days=2)
TITLE: Final = {
    "en": "Win 500 points",
    "fr": "Gagnez 500 points",
    "es": "Gane 500 puntos",
    "it": "Vinci 500 punti",
    "de": "Gewinnen Sie 500 Punkte",
    "nl": "Win 500 punten",
}


async def open_demo_draw(settings: Settings, conn: AsyncConnection) -> None:
    """Add a draw to the demo store unless one is open that long."""
    now = (await read_clock(settings, conn)).now().replace(microsecond=0)
    known = [
        row for row in await store.read_all(conn) if (row.program_id, row.kind) == (DEMO_STORE, DRAW.name)
    ]
    zones = await _zones(conn)
    if any(msgspec.convert(row.document, Draw).closed_at(zones) > now for row in known):
        return
    draw = Draw(
        id=f"fans-{now:%Y-%m-%d-%H%M%S}",
        program=DEMO_STORE,
        title=TITLE,
        opens_at=now,
        closes_at=now + OPEN_FOR,
        winners=1,
        points=500,
        conditions=Conditions(hashtag="#engage", mentions=2, public=True),
    )
    document = msgspec.to_builtins(draw)
    added = store.StoredDefinition(DEMO_STORE, DRAW.name, draw.id, 1, document, now, INSTALLATION)
    await add_version(conn, added, None)


async def _zones(conn: AsyncConnection) -> list[str]:
    """The zones of the demo store's countries, in which its draws may close."""
    published = [row for row in await programs.read_all(conn) if row.program_id == DEMO_STORE]
    versions = parsed(published)[DEMO_STORE]
    return [country.zone for version in versions for country in version.countries.values()]
