"""Define a segment by conditions, or give a list a title."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.clock import Clock
from engage.domain.campaigns.audience_validation import segment_problems
from engage.domain.campaigns.segments import SegmentDocument
from engage.domain.document.compact import compact
from engage.domain.document.difference import differences
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.refusals import Code, Refusal
from engage.flows.segments.change import SegmentChange
from engage.flows.segments.connection import open_connection
from engage.flows.segments.effect import begin_effect
from engage.flows.segments.versions import add_version
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.services import Services
from engage.store.segments import lists, segments
from engage.store.segments.segments import SegmentKey, SegmentVersion

_NO_LIST: Final = Problem("computed", "conditions, because the segment has no list", "nothing")


async def define_segment(
    services: Services,
    key: SegmentKey,
    document: SegmentDocument,
    *,
    operator: str,
    seen: int | None = None,
    keyed: Keyed[SegmentChange] | None = None,
) -> SegmentChange:
    """Define a segment, which may be new, or a list so far. The same again changes nothing. Where another
    version than the one that was `seen` is the newest, nothing changes; 0 stands for none.

    Raises DocumentError; Refusal unknown_program, changed_meanwhile, request_in_flight; Unavailable.
    """
    problems = list(segment_problems(document, services.programs.get(key[0])))
    if problems:
        raise DocumentError("", problems)
    async with open_connection(services.settings) as db, transaction(db) as conn:
        await claim(conn, keyed)
        before = await segments.lock(conn, key)
        _check_seen(document, before, seen)
        version, members = await _define(conn, services.clock, key, before, document, operator=operator)
        change = SegmentChange(
            program=key[0],
            id=key[1],
            kind="list" if version.computed is None else "computed",
            version=version.version,
            since=version.since,
            members=members,
        )
        await keep(conn, keyed, change)
    await services.campaigns.refresh(services.db)
    return change


def _check_seen(document: SegmentDocument, before: SegmentVersion | None, seen: int | None) -> None:
    """Raises Refusal changed_meanwhile."""
    current = 0 if before is None else before.version
    if seen in (None, current):
        return
    theirs = {} if before is None else {"title": before.title, "computed": before.computed}
    raise Refusal(
        Code.CHANGED_MEANWHILE,
        current_version=current,
        difference=differences(compact(document), {k: v for k, v in theirs.items() if v is not None}),
    )


async def _define(
    conn: AsyncConnection,
    clock: Clock,
    key: SegmentKey,
    before: SegmentVersion | None,
    document: SegmentDocument,
    *,
    operator: str,
) -> tuple[SegmentVersion, int | None]:
    """Return the newest version, and the members of its list. Raises DocumentError."""
    title, computed = document.title, None if document.computed is None else compact(document.computed)
    is_list = before is not None and before.computed is None
    if computed is None and not is_list:
        raise DocumentError("", [_NO_LIST])
    members = await lists.count_listed(conn, key) if is_list else 0
    stays = members if computed is None else None
    if before is not None and (before.title, before.computed) == (title, computed):
        return before, stays
    ending = 0 if computed is None else members
    effect = await begin_effect(conn, clock, rows=ending, after=before.since if before else None)
    if ending:
        await lists.end_list(conn, key, at=effect.since)
    counts = {"members": members}
    version = await add_version(
        *(conn, key, before, effect),
        title=title,
        computed=computed,
        operator=operator,
        had=counts,
        has=counts,
    )
    return version, stays
