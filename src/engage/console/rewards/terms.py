"""The form that changes the stock of a program's rewards, or suspends them, with a preview of the version."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final

from litestar import Controller, get, post
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response import Response
from msgspec import Struct, field

from engage.console.context import HtmlRequest, Visitor, visitor_of
from engage.console.forms import Form, do_once, read_form
from engage.console.mistakes import Mistake, mistakes_of_refusal
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.operators.roles import Permission
from engage.domain.program.program import Program
from engage.domain.program.reward_changes import RewardTerms
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.definition import AnyReward
from engage.flows.rewards.change_terms import PreparedVersion, change_terms, prepare_terms

ProgramId = Annotated[str, PathParameter()]
Version = Annotated[str, PathParameter()]

_REASON: Final = 500
_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_PLACE: Final = re.compile(r"rewards\[(\d+)\]")


class _Typed(Struct):
    """The fields of the form by the id of a reward, and what is wrong with them or with all of it."""

    stock: dict[str, str]
    suspended: set[str]
    reason: str = ""
    lacks_reason: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def terms(self) -> Mapping[str, RewardTerms]:
        return {
            reward_id: RewardTerms(int(stock) if stock else None, reward_id in self.suspended)
            for reward_id, stock in self.stock.items()
        }


class RewardTermsController(Controller):
    path = "/rewards/{program_id:str}/{version:str}/terms"

    @get(opt=needs(Permission.ADMINISTER))
    async def form(self, request: HtmlRequest, program_id: ProgramId, version: Version) -> Response[Any]:
        visitor = visitor_of(request)
        base = _find(visitor, program_id, version)
        stock = {each.id: "" if each.stock is None else str(each.stock) for each in base.rewards}
        typed = _Typed(stock, {each.id for each in base.rewards if each.suspended})
        return _page(request, visitor, base, typed, None)

    @post(status_code=303, opt=needs(Permission.ADMINISTER))
    async def change(self, request: HtmlRequest, program_id: ProgramId, version: Version) -> Response[Any]:
        """Show what would be published, or publish what was shown."""
        visitor, form = visitor_of(request), await read_form(request)
        base = _find(visitor, program_id, version)
        typed = _read(base, form)
        typed.problems = {
            reward_id: "number"
            for reward_id, stock in typed.stock.items()
            if stock and not _NUMBER.fullmatch(stock)
        }
        if typed.problems:
            return _page(request, visitor, base, typed, None)
        try:
            if form.text("publish") and typed.reason:
                return await _publish(request, visitor, base, typed, form)
        except Refusal as refusal:
            if refusal.code is not Code.VERSIONS_CONFLICT:
                raise
            typed.mistakes = mistakes_of_refusal("", refusal, visitor.language)
        typed.lacks_reason = bool(form.text("publish")) and not typed.reason
        return await _preview(request, visitor, base, typed)


def _find(visitor: Visitor, program_id: str, version: str) -> Program:
    """Raises NotFoundException, also for a program on which the visitor does not work."""
    published = visitor.services.programs.versions(program_id) if program_id in visitor.programs else []
    for known in published:
        if known.version == version and known.rewards:
            return known
    raise NotFoundException(version)


def _read(base: Program, form: Form) -> _Typed:
    stock = {each.id: form.text(f"stock.{each.id}").replace(" ", "") for each in base.rewards}
    return _Typed(stock, set(form.texts("suspended")), form.text("reason")[:_REASON])


async def _publish(
    request: HtmlRequest, visitor: Visitor, base: Program, typed: _Typed, form: Form
) -> Response[Any]:
    services = visitor.services
    response = await do_once(
        request,
        visitor,
        lambda once: change_terms(
            services,
            base.id,
            base.version,
            typed.terms,
            seen=(form.texts("published"), _day(form.text("from"))),
            operator=visitor.identity,
            reason=typed.reason,
            within=visitor.operator.programs,
            keyed=once,
        ),
        then=lambda done: f"/console/rewards?program={done[0].id}&done=rewards.changed",
    )
    await services.programs.refresh(services.db)
    return response


async def _preview(request: HtmlRequest, visitor: Visitor, base: Program, typed: _Typed) -> Response[bytes]:
    prepared = None
    try:
        prepared = await prepare_terms(visitor.services, base.id, base.version, typed.terms)
    except DocumentError as error:
        for problem in error.problems:
            _show(base, typed, problem)
    except Refusal as refusal:
        if refusal.code is not Code.VERSIONS_CONFLICT:
            raise
        typed.mistakes = mistakes_of_refusal("", refusal, visitor.language)
    return _page(request, visitor, base, typed, prepared)


def _show(base: Program, typed: _Typed, problem: Problem) -> None:
    """Show a problem of the document at the field of the form that it is about."""
    place = _PLACE.match(problem.path)
    if place is None:
        typed.mistakes.append(Mistake("", problem.mistake, None))
    else:
        typed.problems[base.rewards[int(place[1])].id] = problem.mistake


def _page(
    request: HtmlRequest, visitor: Visitor, base: Program, typed: _Typed, prepared: PreparedVersion | None
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "rewards/terms.html",
        status=422 if typed.problems or typed.mistakes or typed.lacks_reason else 200,
        program=base,
        typed=typed,
        prepared=prepared,
        changes=[] if prepared is None else _changes(prepared),
    )


def _changes(prepared: PreparedVersion) -> list[tuple[AnyReward, AnyReward]]:
    """The rewards that differ, as they were and as they are to be."""
    pairs = zip(prepared.before.rewards, prepared.after.rewards, strict=True)
    return [(before, after) for before, after in pairs if before != after]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return date.min
