"""Publish a program version: validate it, play its examples, and check it against the other versions."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.clock import Clock
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.part_validation import taken_id_problems
from engage.domain.document.errors import DocumentError, Problem, shown
from engage.domain.operators.programs import check_programs
from engage.domain.playback import examples
from engage.domain.program import parse, versions
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import end_within, transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.program_cache import COMMITTED_WITHIN, PUBLISHED_AHEAD
from engage.store import audit_log
from engage.store import programs as store
from engage.store.audit_log import AuditEntry
from engage.store.campaigns.versions import read_with_parts
from engage.store.members.members import has_members


async def publish(
    db: AsyncEngine,
    document: str,
    *,
    source: str,
    operator: str,
    clock: Clock,
    program_id: str | None = None,
    past_allowed: bool = False,
    within: Sequence[str] | None = None,
    reason: str | None = None,
    made_after: Sequence[str] | None = None,
    keyed: Keyed[tuple[Program, bool]] | None = None,
) -> tuple[Program, bool]:
    """Publish a document; return (the version, true if it is new). Publishing the same text again is allowed.

    What was in force stays: a program with members accepts versions that begin in the future. In a sandbox
    (`past_allowed`) a version may begin at any time. The audit log names the `operator`, who
    works `within` some programs or on all, and may give a `reason`. A document that was `made_after` the
    versions with these names is refused where there are others by now (versions_conflict).

    Raises DocumentError, also for a document of another program than `program_id`; Refusal
    other_program, document_unproved (an example fails), versions_conflict, version_exists (with another
    text), in_the_past, request_in_flight; Unavailable.
    """
    program = parse.parse(document, source=source)
    if program_id not in (None, program.id):
        raise DocumentError(source, [Problem("id", shown(program_id), shown(program.id))])
    check_programs(within, [program.id])
    failures = examples.check(program)
    if failures:
        raise Refusal(Code.DOCUMENT_UNPROVED, problems=[str(failure) for failure in failures])
    async with transaction(db) as conn:
        await claim(conn, keyed)
        await end_within(conn, COMMITTED_WITHIN)
        await store.lock(conn)
        now = clock.now()  # Examples and other publishers may have taken long.
        published = [p for p in await store.read_all(conn) if p.program_id == program.id]
        _check_basis(published, made_after)
        others = [parse.read(p.document, source=p.version) for p in published if p.version != program.version]
        in_order = sorted([*others, program], key=lambda version: version.in_force_from)
        conflicts = [problem for _, problem in versions.conflicts(in_order)]
        problems = [str(problem) for problem in (*conflicts, *await _taken_ids(conn, program))]
        if problems:
            raise Refusal(Code.VERSIONS_CONFLICT, problems=problems)
        new = await store.add(
            conn,
            store.PublishedVersion(program.id, program.version, document),
            in_force_from=program.in_force_from,
            now=now,
        )
        if new and not past_allowed:
            await _check_beginning(conn, program, now=now)
        if new:
            await _log(conn, program, document, published, operator=operator, reason=reason, now=now)
        await keep(conn, keyed, (program, new))
    return program, new


def _check_basis(published: Sequence[store.PublishedVersion], made_after: Sequence[str] | None) -> None:
    """Raises Refusal versions_conflict."""
    names = [version.version for version in published]
    if made_after is not None and names != list(made_after):
        newer = ", ".join(shown(name) for name in names if name not in made_after)
        problem = Problem("version", "no other version published meanwhile", newer)
        raise Refusal(Code.VERSIONS_CONFLICT, problems=[str(problem)])


async def _taken_ids(conn: AsyncConnection, program: Program) -> list[Problem]:
    """The ids of rules and definitions that a campaign has."""
    fields = ["rules", *(kind.plural for kind in KINDS)]
    rows = await read_with_parts(conn, program.id, fields)
    return list(taken_id_problems(program, [msgspec.convert(row.document, Campaign) for row in rows]))


async def _log(
    conn: AsyncConnection,
    program: Program,
    document: str,
    before: Sequence[store.PublishedVersion],
    *,
    operator: str,
    reason: str | None,
    now: datetime,
) -> None:
    """Documents are kept as they were published, so the log names them and has their digests."""
    after = {"version": program.version, "in_force_from": program.in_force_from, "sha256": _digest(document)}
    newest = before[-1] if before else None
    entry = AuditEntry(
        at=now,
        program_id=program.id,
        operator=operator,
        subject=f"program:{program.id}",
        action="published",
        reason=reason,
        before=newest and {"version": newest.version, "sha256": _digest(newest.document)},
        after=after,
    )
    await audit_log.write(conn, entry)


def _digest(document: str) -> str:
    return sha256(document.encode()).hexdigest()


async def _check_beginning(conn: AsyncConnection, program: Program, *, now: datetime) -> None:
    """Raises Refusal in_the_past."""
    earliest = versions.first_day(program, after=now + PUBLISHED_AHEAD)
    if program.in_force_from < earliest and await has_members(conn, program.id):
        raise Refusal(
            Code.IN_THE_PAST,
            in_force_from=program.in_force_from.isoformat(),
            earliest=earliest.isoformat(),
        )
