"""Quizzes and draws: the list, one of them, and its editor."""

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final

import msgspec
from litestar import Controller, get, post
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response import Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.definitions.documents import EXAMPLES, text_of
from engage.console.definitions.draws import DrawStateController, draws_of, shown_draw
from engage.console.definitions.editing import Editing, edit_page, preview_of, save
from engage.console.forms import read_form
from engage.console.members.subject import path_of
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.draws.kind import DRAW
from engage.domain.operators.roles import Permission
from engage.domain.quizzes.kind import QUIZ
from engage.flows.definitions.read import DefinitionDocument, list_definitions, read_definition

ProgramId = Annotated[str, PathParameter()]
DefinitionId = Annotated[str, PathParameter()]


class DefinitionPages(Controller):
    """The pages about the definitions of a kind."""

    kind: ClassVar[DefinitionKind[Any]]

    @get(opt=needs(Permission.VIEW))
    async def definitions(self, request: HtmlRequest) -> Response[Any]:
        visitor, program = visitor_of(request), asked(request, "program")
        programs = [known for known in visitor.programs if program in ("", known)]
        return page(
            request,
            visitor,
            "definitions/list.html",
            kind=self.kind,
            definitions=list_definitions(visitor.services, self.kind, programs),
            draws=await draws_of(visitor.services, programs) if self.kind is DRAW else {},
            programs=visitor.programs,
            program=program,
        )

    @get("/new", opt=needs(Permission.WRITE))
    async def new(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        return edit_page(request, visitor, self.kind, Editing(_example(visitor, self.kind), 0))

    @post("/new", status_code=303, opt=needs(Permission.WRITE))
    async def add(self, request: HtmlRequest) -> Response[Any]:
        return await _save(request, self.kind)

    @get("/{program_id:str}/{definition_id:str}", opt=needs(Permission.VIEW))
    async def definition(
        self, request: HtmlRequest, program_id: ProgramId, definition_id: DefinitionId
    ) -> Response[Any]:
        visitor, kind = visitor_of(request), self.kind
        known, draw = _find(visitor, kind, program_id, definition_id), None
        if kind is DRAW:
            draw = await shown_draw(request, visitor, program_id, definition_id)
        if known is None and draw is None:
            raise NotFoundException(definition_id)
        struct = None if known is None else msgspec.convert(known.document, kind.struct)
        return page(
            request,
            visitor,
            "definitions/definition.html",
            kind=kind,
            program_id=program_id,
            definition_id=definition_id,
            definition=known,
            text="" if known is None else text_of(kind, program_id, known.document),
            preview=preview_of(struct, visitor.language),
            draw=draw,
            member_path=path_of,
        )

    @get("/{program_id:str}/{definition_id:str}/edit", opt=needs(Permission.WRITE))
    async def form(
        self, request: HtmlRequest, program_id: ProgramId, definition_id: DefinitionId
    ) -> Response[Any]:
        visitor = visitor_of(request)
        known = _of_operators(visitor, self.kind, program_id, definition_id)
        editing = Editing(text_of(self.kind, program_id, known.document), known.version or 0)
        return edit_page(request, visitor, self.kind, editing, (program_id, definition_id))

    @post("/{program_id:str}/{definition_id:str}/edit", status_code=303, opt=needs(Permission.WRITE))
    async def change(
        self, request: HtmlRequest, program_id: ProgramId, definition_id: DefinitionId
    ) -> Response[Any]:
        _of_operators(visitor_of(request), self.kind, program_id, definition_id)
        return await _save(request, self.kind, (program_id, definition_id))


class QuizPages(DefinitionPages):
    path = "/quizzes"
    kind = QUIZ


class DrawPages(DefinitionPages):
    path = "/draws"
    kind = DRAW


CONTROLLERS: Final = (QuizPages, DrawPages, DrawStateController)


def _example(visitor: Visitor, kind: DefinitionKind[Any]) -> str:
    """A document to begin with, of the next days."""
    today = visitor.services.clock.now().date()
    return EXAMPLES[kind.name].format(
        program=(visitor.programs or [""])[0],
        opens=today + timedelta(days=1),
        closes=today + timedelta(days=8),
    )


async def _save(
    request: HtmlRequest, kind: DefinitionKind[Any], expected: tuple[str, str] = ("", "")
) -> Response[Any]:
    visitor, form = visitor_of(request), await read_form(request)
    saved = await save(request, visitor, kind, form, expected)
    return edit_page(request, visitor, kind, saved, expected) if isinstance(saved, Editing) else saved


def _find(
    visitor: Visitor, kind: DefinitionKind[Any], program_id: str, definition_id: str
) -> DefinitionDocument | None:
    """None for what only a campaign brings. Raises NotFoundException for a program of others."""
    visitor.check_program(program_id)
    known = {each.id for each in list_definitions(visitor.services, kind, [program_id])}
    if definition_id not in known:
        return None
    return read_definition(visitor.services, kind, [program_id], definition_id)


def _of_operators(
    visitor: Visitor, kind: DefinitionKind[Any], program_id: str, definition_id: str
) -> DefinitionDocument:
    """A definition that operators change. Raises NotFoundException."""
    known = _find(visitor, kind, program_id, definition_id)
    if known is None or known.version is None:
        raise NotFoundException(definition_id)
    return known
