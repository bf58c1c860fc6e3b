"""A new version of a segment, with its entry in the audit log."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.flows.segments.effect import Effect
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.segments import segments
from engage.store.segments.segments import SegmentKey, SegmentVersion

Members = Mapping[str, int]


async def add_version(
    conn: AsyncConnection,
    key: SegmentKey,
    before: SegmentVersion | None,
    effect: Effect,
    *,
    title: Mapping[str, str] | None,
    computed: Mapping[str, Any] | None,
    operator: str,
    had: Members,
    has: Members,
) -> SegmentVersion:
    """Add the version after `before`, at the end of a transaction. `had` and `has` are counts of lists."""
    version = SegmentVersion(
        program_id=key[0],
        segment_id=key[1],
        version=1 if before is None else before.version + 1,
        since=effect.since,
        title=title,
        computed=computed,
        changed_at=effect.at,
        operator=operator,
    )
    await segments.add_version(conn, version)
    entry = AuditEntry(
        at=effect.at,
        program_id=key[0],
        operator=operator,
        subject=f"segment:{key[1]}",
        action="added" if before is None else "changed",
        before=None if before is None else _state(before, had),
        after=_state(version, has),
    )
    await audit_log.write(conn, entry)
    return version


def _state(version: SegmentVersion, members: Members) -> dict[str, Any]:
    fields = msgspec.structs.asdict(version)
    state = {name: fields[name] for name in ("version", "since", "title", "computed")}
    return state if version.computed is not None else {**state, **members}
