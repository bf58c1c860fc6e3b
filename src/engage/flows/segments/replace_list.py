"""Replace the list of a segment, all of it or nothing."""

from collections.abc import Callable

from msgspec.structs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.clock import Clock
from engage.flows.segments.change import ListPreview, SegmentChange
from engage.flows.segments.connection import open_connection
from engage.flows.segments.effect import begin_effect
from engage.flows.segments.id_list import LINES_SHOWN, IdList
from engage.flows.segments.versions import add_version
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.services import Services
from engage.store.segments import lists, segments
from engage.store.segments.lists import ListCounts
from engage.store.segments.segments import SegmentKey, SegmentVersion


def _ignore(_step: str) -> None:
    pass


async def replace_list_by_request(
    services: Services,
    key: SegmentKey,
    ids: IdList,
    *,
    operator: str,
    keyed: Keyed[SegmentChange] | None = None,
) -> SegmentChange:
    """Replace a list, with time limits that are longer than those of other requests.

    Raises as `replace_list`, and Unavailable where too many lists are being written.
    """
    async with open_connection(services.settings) as db:
        return await replace_list(db, services.clock, key, ids, operator=operator, keyed=keyed)


async def replace_list(
    db: AsyncEngine,
    clock: Clock,
    key: SegmentKey,
    ids: IdList,
    *,
    operator: str,
    on_step: Callable[[str], None] = _ignore,
    keyed: Keyed[SegmentChange] | None = None,
) -> SegmentChange:
    """Replace the list of a segment, which may be new, or computed so far. The same again changes nothing.

    Raises Refusal request_in_flight, Unavailable: then nothing has changed.
    """
    async with transaction(db) as conn:
        await claim(conn, keyed)
        on_step("loading")
        await lists.load(conn, ids.rows())
        before = await segments.lock(conn, key)
        on_step("comparing")
        counts = await lists.compare(conn, key)
        preview = await _preview(conn, key, ids, counts)
        on_step("writing")
        version = await write_list(conn, clock, key, before, counts, operator=operator)
        change = SegmentChange(
            program=version.program_id,
            kind="list",
            version=version.version,
            since=version.since,
            **asdict(preview),
        )
        await keep(conn, keyed, change)
    return change


async def preview_list(services: Services, key: SegmentKey, ids: IdList) -> ListPreview:
    """Compare a list with that of a segment, which may be new, and change nothing.

    Raises Unavailable, also where too many lists are being written.
    """
    async with open_connection(services.settings) as db, transaction(db) as conn:
        await lists.load(conn, ids.rows())
        return await _preview(conn, key, ids, await lists.compare(conn, key))


async def _preview(conn: AsyncConnection, key: SegmentKey, ids: IdList, counts: ListCounts) -> ListPreview:
    unknown = await lists.read_unknown(conn, limit=LINES_SHOWN) if counts.unknown else []
    return ListPreview(
        id=key[1],
        members=counts.members,
        added=counts.added,
        removed=counts.removed,
        repeated=counts.repeated,
        unknown=counts.unknown,
        unknown_ids=unknown,
        unknown_not_shown=counts.unknown - len(unknown),
        bad=ids.bad,
        bad_lines=ids.bad_lines,
        bad_not_shown=ids.bad - len(ids.bad_lines),
    )


async def write_list(
    conn: AsyncConnection,
    clock: Clock,
    key: SegmentKey,
    before: SegmentVersion | None,
    counts: ListCounts,
    *,
    operator: str,
) -> SegmentVersion:
    """Write what was compared, at the end of a transaction. Return the version that is new, or the newest one
    where the list is the same.
    """
    changed = counts.added + counts.removed
    if before is not None and before.computed is None and not changed:
        return before
    effect = await begin_effect(conn, clock, rows=changed, after=before.since if before else None)
    await lists.write(conn, key, at=effect.since)
    return await add_version(
        conn,
        key,
        before,
        effect,
        title=before.title if before else None,
        computed=None,
        operator=operator,
        had={"members": counts.members - counts.added + counts.removed},
        has={"members": counts.members, "added": counts.added, "removed": counts.removed},
    )
