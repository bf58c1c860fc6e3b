"""The list of programs, one program, a version in words, two versions compared."""

from typing import Annotated, Any, Final

from litestar import Controller, get, post
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response import Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import do_once, read_form
from engage.console.mistakes import Mistake, mistakes_of, mistakes_of_refusal
from engage.console.permissions import needs
from engage.console.programs.comparison import compare
from engage.console.rendering import page
from engage.domain.document.errors import DocumentError
from engage.domain.operators.roles import Permission
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.flows.programs.publish import publish
from engage.flows.programs.read import list_programs, list_versions, read_document, versions_in_force
from engage.messages.program_text.sections import descriptions

ProgramId = Annotated[str, PathParameter()]
Version = Annotated[str, PathParameter()]

# Refusals about the document itself are shown beside it.
_OF_THE_DOCUMENT: Final = (
    Code.DOCUMENT_UNPROVED,
    Code.VERSIONS_CONFLICT,
    Code.VERSION_EXISTS,
    Code.IN_THE_PAST,
    Code.OTHER_PROGRAM,
)


class ProgramController(Controller):
    path = "/programs"

    @get(opt=needs(Permission.VIEW))
    async def programs(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        shown = [each for each in list_programs(visitor.services) if each.id in visitor.programs]
        in_force = {each.id: _by_version(visitor, each.id) for each in shown}
        return page(request, visitor, "programs/list.html", programs=shown, in_force=in_force)

    @get("/publish", opt=needs(Permission.ADMINISTER))
    async def form(self, request: HtmlRequest) -> Response[Any]:
        """The form with the newest document of a program, or with nothing for a new one."""
        visitor, program_id = visitor_of(request), asked(request, "program")
        text = ""
        if program_id:
            newest = _versions(visitor, program_id)[-1]
            text = (await read_document(visitor.services, program_id, newest.version)).document
        return _publish_page(request, visitor, text, [], program_id)

    @post("/publish", status_code=303, opt=needs(Permission.ADMINISTER))
    async def publish(self, request: HtmlRequest) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        text, program_id = form.lines("document"), form.text("program")
        services = visitor.services
        try:
            response = await do_once(
                request,
                visitor,
                lambda once: publish(
                    services.db,
                    text,
                    source="",
                    operator=visitor.identity.name,
                    clock=services.clock,
                    past_allowed=visitor.console.sandbox is not None,
                    within=visitor.operator.programs,
                    keyed=once,
                ),
                then=lambda done: f"/console/programs/{done[0].id}?done=programs.published",
            )
        except DocumentError as error:
            return _publish_page(request, visitor, text, mistakes_of(text, error.problems), program_id)
        except Refusal as refusal:
            if refusal.code not in _OF_THE_DOCUMENT:
                raise
            found = mistakes_of_refusal(text, refusal, visitor.language)
            return _publish_page(request, visitor, text, found, program_id)
        await services.programs.refresh(services.db)
        return response

    @get("/{program_id:str}", opt=needs(Permission.VIEW))
    async def program(self, request: HtmlRequest, program_id: ProgramId) -> Response[Any]:
        visitor = visitor_of(request)
        newest = _versions(visitor, program_id)[-1]
        return page(
            request,
            visitor,
            "programs/program.html",
            program=newest,
            versions=list_versions(visitor.services, program_id)[::-1],
            in_force=_by_version(visitor, program_id),
        )

    @get("/{program_id:str}/versions/{version:str}", opt=needs(Permission.VIEW))
    async def version(self, request: HtmlRequest, program_id: ProgramId, version: Version) -> Response[Any]:
        visitor = visitor_of(request)
        program = _version(visitor, program_id, version)
        return page(
            request,
            visitor,
            "programs/version.html",
            program=program,
            in_force=_by_version(visitor, program_id).get(version, []),
            descriptions=descriptions(program, visitor.language),
            document=(await read_document(visitor.services, program_id, version)).document,
        )

    @get("/{program_id:str}/differences", opt=needs(Permission.VIEW))
    async def differences(self, request: HtmlRequest, program_id: ProgramId) -> Response[Any]:
        """Of two versions: the last two, where none is named."""
        visitor = visitor_of(request)
        names = [version.version for version in _versions(visitor, program_id)]
        before = asked(request, "before") or names[-2:][0]
        after = asked(request, "after") or names[-1]
        return page(
            request,
            visitor,
            "programs/differences.html",
            program=_version(visitor, program_id, after),
            names=names,
            before=before,
            after=after,
            comparison=compare(
                _version(visitor, program_id, before),
                _version(visitor, program_id, after),
                visitor.language,
            ),
        )


def _versions(visitor: Visitor, program_id: str) -> list[Program]:
    """Raises NotFoundException, also for a program on which the visitor does not work."""
    visitor.check_program(program_id)
    return visitor.services.programs.get(program_id)


def _version(visitor: Visitor, program_id: str, name: str) -> Program:
    for version in _versions(visitor, program_id):
        if version.version == name:
            return version
    raise NotFoundException(name)


def _by_version(visitor: Visitor, program_id: str) -> dict[str, list[str]]:
    """The countries in which each version is in force."""
    found: dict[str, list[str]] = {}
    for country, version in versions_in_force(visitor.services, program_id).items():
        found.setdefault(version, []).append(country)
    return found


def _publish_page(
    request: HtmlRequest, visitor: Visitor, text: str, mistakes: list[Mistake], program_id: str
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "programs/publish.html",
        status=422 if mistakes else 200,
        text=text,
        mistakes=mistakes,
        program_id=program_id if program_id in visitor.programs else "",
    )
