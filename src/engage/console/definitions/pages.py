"""Quizzes and draws: the list, one of them, and its editor."""

from datetime import timedelta
from typing import Annotated, Any, Final

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
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.draws.kind import DRAW
from engage.domain.operators.roles import Permission
from engage.domain.quizzes.kind import QUIZ
from engage.flows.definitions.read import DefinitionDocument, list_definitions, read_definition

ProgramId = Annotated[str, PathParameter()]
DefinitionId = Annotated[str, PathParameter()]


def definition_pages(kind: DefinitionKind[Any]) -> type[Controller]:
    """The pages about the definitions of a kind."""

    class DefinitionPages(Controller):
        path = f"/{kind.plural}"

        @get(opt=needs(Permission.VIEW))
        async def definitions(self, request: HtmlRequest) -> Response[Any]:
            visitor, program = visitor_of(request), asked(request, "program")
            programs = [known for known in visitor.programs if program in ("", known)]
            return page(
                request,
                visitor,
                "definitions/list.html",
                kind=kind,
                definitions=list_definitions(visitor.services, kind, programs),
                draws=await draws_of(visitor.services, programs) if kind is DRAW else {},
                programs=visitor.programs,
                program=program,
            )

        @get("/new", opt=needs(Permission.WRITE))
        async def new(self, request: HtmlRequest) -> Response[Any]:
            visitor = visitor_of(request)
            today = visitor.services.clock.now().date()
            text = EXAMPLES[kind.name].format(
                program=(visitor.programs or [""])[0],
                opens=today + timedelta(days=1),
                closes=today + timedelta(days=8),
            )
            return edit_page(request, visitor, kind, Editing(text, 0))

        @post("/new", status_code=303, opt=needs(Permission.WRITE))
        async def add(self, request: HtmlRequest) -> Response[Any]:
            visitor, form = visitor_of(request), await read_form(request)
            saved = await save(request, visitor, kind, form, ("", ""))
            return edit_page(request, visitor, kind, saved) if isinstance(saved, Editing) else saved

        @get("/{program_id:str}/{definition_id:str}", opt=needs(Permission.VIEW))
        async def definition(
            self, request: HtmlRequest, program_id: ProgramId, definition_id: DefinitionId
        ) -> Response[Any]:
            visitor = visitor_of(request)
            known = _find(visitor, kind, program_id, definition_id)
            draw = None
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
            )

        @get("/{program_id:str}/{definition_id:str}/edit", opt=needs(Permission.WRITE))
        async def form(
            self, request: HtmlRequest, program_id: ProgramId, definition_id: DefinitionId
        ) -> Response[Any]:
            visitor = visitor_of(request)
            known = _of_operators(visitor, kind, program_id, definition_id)
            editing = Editing(text_of(kind, program_id, known.document), known.version or 0)
            return edit_page(request, visitor, kind, editing, (program_id, definition_id))

        @post("/{program_id:str}/{definition_id:str}/edit", status_code=303, opt=needs(Permission.WRITE))
        async def change(
            self, request: HtmlRequest, program_id: ProgramId, definition_id: DefinitionId
        ) -> Response[Any]:
            visitor, form = visitor_of(request), await read_form(request)
            _of_operators(visitor, kind, program_id, definition_id)
            expected = (program_id, definition_id)
            saved = await save(request, visitor, kind, form, expected)
            return edit_page(request, visitor, kind, saved, expected) if isinstance(saved, Editing) else saved

    DefinitionPages.__name__ = f"{kind.name.capitalize()}Pages"
    return DefinitionPages


CONTROLLERS: Final = (definition_pages(QUIZ), definition_pages(DRAW), DrawStateController)


def _find(
    visitor: Visitor, kind: DefinitionKind[Any], program_id: str, definition_id: str
) -> DefinitionDocument | None:
    """None for what only a campaign brings. Raises NotFoundException for a program of others."""
    if program_id not in visitor.programs:
        raise NotFoundException(program_id)
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
