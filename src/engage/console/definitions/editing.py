"""The editor of a definition: its page, and saving what was typed."""

from collections.abc import Sequence
from typing import Any, Final

from litestar.response import Response
from msgspec import Struct

from engage.console.context import HtmlRequest, Visitor
from engage.console.definitions.documents import read_text
from engage.console.forms import Form, do_once
from engage.console.mistakes import Mistake, Refused, mistakes_of, mistakes_of_refusal
from engage.console.rendering import page
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.document.difference import Difference
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.quizzes.definition import Quiz
from engage.domain.refusals import Code, Refusal
from engage.flows.definitions.change import add_definition, change_definition
from engage.flows.definitions.read import DefinitionDocument
from engage.flows.quizzes.views import QuestionView, ReviewedQuestion, questions_in, review_in

# Refusals about the document itself are shown beside it.
_OF_THE_DOCUMENT: Final = (Code.EXISTS, Code.OF_A_DOCUMENT)


class Preview(Struct, frozen=True):
    """A quiz as members see it, and the review that they see afterwards."""

    quiz: Quiz
    questions: list[QuestionView]
    review: list[ReviewedQuestion]


class Editing(Struct, frozen=True):
    """A document that is being written. `version` is the one that it was opened in, 0 for a new one; `theirs`
    are the fields in which somebody else's differs.
    """

    text: str
    version: int
    mistakes: Sequence[Mistake] = ()
    theirs: Sequence[Difference] = ()
    preview: Preview | None = None


def preview_of(definition: Any, language: str) -> Preview | None:
    """The preview of a quiz; None for what has none."""
    if not isinstance(definition, Quiz):
        return None
    questions = definition.questions
    return Preview(definition, questions_in(questions, language), review_in(questions, frozenset(), language))


def path_of(kind: DefinitionKind[Any], program_id: str, definition_id: str) -> str:
    return f"/console/{kind.plural}/{program_id}/{definition_id}"


async def save(
    request: HtmlRequest, visitor: Visitor, kind: DefinitionKind[Any], form: Form, expected: tuple[str, str]
) -> Response[Any] | Editing:
    """Save what was typed, or return it with what is wrong. `expected`: the program and the id of the
    definition that is changed, empty for a new one.
    """
    text, version = form.lines("document"), form.text("version")
    editing = Editing(text, int(version) if version.isascii() and version.isdigit() else 0)
    try:
        definition = read_text(visitor, kind, text)
        if form.text("preview"):
            shown = preview_of(definition, visitor.language)
            return Editing(text, editing.version, preview=shown)
        if any(expected) and (definition.program, definition.id) != expected:
            named = f"{definition.id} of {definition.program}"
            other = Problem("id", f"{expected[1]} of {expected[0]}, which is being changed", named)
            return Editing(text, editing.version, mistakes_of(text, [other]))
        return await _save(request, visitor, kind, definition, editing)
    except Refused as refused:
        return Editing(text, editing.version, refused.mistakes)
    except DocumentError as error:
        return Editing(text, editing.version, mistakes_of(text, error.problems))
    except Refusal as refusal:
        if refusal.code is Code.CHANGED_MEANWHILE:
            return Editing(text, refusal.facts["current_version"], theirs=refusal.facts["difference"])
        if refusal.code not in _OF_THE_DOCUMENT:
            raise
        return Editing(text, editing.version, mistakes_of_refusal(text, refusal, visitor.language))


async def _save(
    request: HtmlRequest,
    visitor: Visitor,
    kind: DefinitionKind[Any],
    definition: Any,
    editing: Editing,
) -> Response[Any]:
    def then(saved: DefinitionDocument) -> str:
        return f"{path_of(kind, saved.program, saved.id)}?done=definitions.saved"

    services, operator = visitor.services, visitor.identity.name
    if editing.version == 0:
        return await do_once(
            request,
            visitor,
            lambda once: add_definition(services, kind, definition, operator=operator, keyed=once),
            then=then,
        )
    return await do_once(
        request,
        visitor,
        lambda once: change_definition(
            services,
            kind,
            definition,
            expected_version=editing.version,
            operator=operator,
            keyed=once,
        ),
        then=then,
    )


def edit_page(
    request: HtmlRequest,
    visitor: Visitor,
    kind: DefinitionKind[Any],
    editing: Editing,
    expected: tuple[str, str] = ("", ""),
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "definitions/edit.html",
        status=422 if editing.mistakes or editing.theirs else 200,
        kind=kind,
        editing=editing,
        action=f"{path_of(kind, *expected)}/edit" if any(expected) else f"/console/{kind.plural}/new",
        back=path_of(kind, *expected) if any(expected) else f"/console/{kind.plural}",
        heading=expected[1],
    )
