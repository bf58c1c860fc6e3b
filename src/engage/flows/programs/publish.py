"""Publish a program version: validate it, play its examples, and check it against the other versions."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.document.errors import DocumentError, Problem, shown
from engage.domain.playback import examples
from engage.domain.program import parse, versions
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import transaction
from engage.store import programs as store


async def publish(
    db: AsyncEngine, text: str, *, source: str, now: datetime, program_id: str | None = None
) -> tuple[Program, bool]:
    """Publish a document; return (the version, true if it is new). Publishing the same text again is allowed.

    Raises DocumentError, also for a document of another program than `program_id`; Refusal
    document_unproved (an example fails), versions_conflict, version_exists (with another text); Unavailable.
    """
    program = parse.parse(text, source=source)
    if program_id not in (None, program.id):
        raise DocumentError(source, [Problem("id", shown(program_id), shown(program.id))])
    failures = examples.check(program)
    if failures:
        raise Refusal(Code.DOCUMENT_UNPROVED, problems=[str(failure) for failure in failures])
    async with transaction(db) as conn:
        published = [p for p in await store.read_all(conn) if p.program_id == program.id]
        others = [parse.read(p.document, source=p.version) for p in published if p.version != program.version]
        in_order = sorted([*others, program], key=lambda version: version.in_force_from)
        problems = [str(problem) for _, problem in versions.conflicts(in_order)]
        if problems:
            raise Refusal(Code.VERSIONS_CONFLICT, problems=problems)
        new = await store.add(
            conn,
            store.PublishedVersion(program.id, program.version, text),
            in_force_from=program.in_force_from,
            now=now,
        )
    return program, new
