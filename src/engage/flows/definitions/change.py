"""Add a definition to a program, or a new version of one. Both are in force at once, without a deploy."""

from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.definitions.definition import Definition
from engage.domain.definitions.kind import D, DefinitionKind, standalone_problems
from engage.domain.document.difference import differences
from engage.domain.document.errors import DocumentError, Problem, nearest, shown
from engage.domain.program import sections
from engage.domain.refusals import Code, Refusal
from engage.flows.definitions.read import DefinitionDocument, document_of, newest_programs
from engage.runtime.database import transaction
from engage.runtime.definition_cache import OPERATORS_VERSION, Versioned, of_documents
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store import definitions as store
from engage.store.audit_log import AuditEntry
from engage.store.campaigns.versions import read_with_parts


async def add_definition(
    services: Services,
    kind: DefinitionKind[D],
    definition: D,
    *,
    operator: str,
    keyed: Keyed[DefinitionDocument] | None = None,
) -> DefinitionDocument:
    """Add the first version of a definition to the program that it names.

    Raises DocumentError; Refusal exists, request_in_flight; Unavailable.
    """
    program_id = _check(services, kind, definition)
    if definition.id in of_documents(services.programs.versions(program_id), kind):
        raise Refusal(Code.EXISTS, id=definition.id)
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        await store.lock(conn)
        if await store.read_newest(conn, program_id, kind.name, definition.id) is not None:
            raise Refusal(Code.EXISTS, id=definition.id)
        if definition.id in await _ids_in_campaigns(conn, program_id, kind):
            raise Refusal(Code.EXISTS, id=definition.id)
        added = await _add(services, conn, kind, program_id, definition, None, operator=operator)
        await keep(conn, keyed, added)
    await services.definitions.refresh(services.db)
    return added


async def change_definition(
    services: Services,
    kind: DefinitionKind[D],
    definition: D,
    *,
    expected_version: int | None,
    operator: str,
    keyed: Keyed[DefinitionDocument] | None = None,
) -> DefinitionDocument:
    """Add a new version, for what begins from now on. `expected_version` is the number of the one that the
    caller has seen; None is no version.

    Raises DocumentError; Refusal not_found, of_a_document, changed_meanwhile, request_in_flight; Unavailable.
    """
    program_id = _check(services, kind, definition)
    of_document = of_documents(services.programs.versions(program_id), kind).get(definition.id)
    if of_document is not None:
        raise Refusal(Code.OF_A_DOCUMENT, id=definition.id, version=of_document)
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        await store.lock(conn)
        newest = await store.read_newest(conn, program_id, kind.name, definition.id)
        if newest is None:
            raise Refusal(Code.NOT_FOUND)
        if newest.version != expected_version:
            yours, theirs = definition, msgspec.convert(newest.document, kind.struct)
            raise Refusal(
                Code.CHANGED_MEANWHILE,
                current_version=newest.version,
                difference=differences(msgspec.to_builtins(yours), msgspec.to_builtins(theirs)),
            )
        added = await _add(services, conn, kind, program_id, definition, newest, operator=operator)
        await keep(conn, keyed, added)
    await services.definitions.refresh(services.db)
    return added


def _check(services: Services, kind: DefinitionKind[D], definition: D) -> str:
    """Validate a definition beside the newest versions of its program; return the program's id.

    Raises DocumentError, also for a program that there is not.
    """
    known = services.programs.ids()
    if definition.program is None or definition.program not in known:
        found = "nothing" if definition.program is None else shown(definition.program)
        found += nearest(definition.program or "", known)
        raise DocumentError("", [Problem("program", "the id of a program", found)])
    for program in newest_programs(services, definition.program):
        problems = standalone_problems(kind, definition, sections.context_of(program))
        if problems:
            raise DocumentError("", problems)
    return definition.program


async def _ids_in_campaigns(conn: AsyncConnection, program_id: str, kind: DefinitionKind[Any]) -> set[str]:
    found = await read_with_parts(conn, program_id, [kind.plural])
    return {each["id"] for row in found for each in row.document[kind.plural]}


async def _add(
    services: Services,
    conn: AsyncConnection,
    kind: DefinitionKind[D],
    program_id: str,
    definition: Definition,
    newest: store.StoredDefinition | None,
    *,
    operator: str,
) -> DefinitionDocument:
    """Add the version after the newest, or the first one."""
    now = services.clock.now()
    document = msgspec.to_builtins(definition)
    version = 1 if newest is None else newest.version + 1
    row = store.StoredDefinition(program_id, kind.name, definition.id, version, document, now, operator)
    await add_version(conn, row, newest)
    return document_of(program_id, Versioned(definition, OPERATORS_VERSION.format(version), now))


async def add_version(
    conn: AsyncConnection, added: store.StoredDefinition, before: store.StoredDefinition | None
) -> None:
    """Store a checked version, and log it. `before`: the version that it follows."""
    await store.add(conn, added)
    entry = AuditEntry(
        at=added.created_at,
        program_id=added.program_id,
        operator=added.operator,
        subject=f"{added.kind}:{added.id}",
        action="added" if before is None else "changed",
        before=None if before is None else before.document,
        after=added.document,
    )
    await audit_log.write(conn, entry)
