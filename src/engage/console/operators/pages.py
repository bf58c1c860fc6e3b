"""The list of operators, the form for a new one, and the account of one."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, get, post
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response import Response

from engage.console.context import HtmlRequest, Visitor, visitor_of
from engage.console.forms import Form, do_once, read_form
from engage.console.permissions import needs
from engage.console.programs_choice import ProgramChoice, choice_for, sent_choice
from engage.console.rendering import page
from engage.domain.operators.roles import ROLES, Permission, Role
from engage.flows.operators.accounts import (
    AccountProblem,
    change_operator,
    create_operator,
    list_operators,
    reset_operator,
)
from engage.store.operators.operators import Operator

OperatorId = Annotated[UUID, PathParameter()]


class OperatorController(Controller):
    path = "/operators"

    @get(opt=needs(Permission.ADMINISTER))
    async def operators(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        return page(request, visitor, "operators/list.html", operators=await _visible(visitor))

    @get("/new", opt=needs(Permission.ADMINISTER))
    async def new(self, request: HtmlRequest) -> Response[Any]:
        return _new_page(request, visitor_of(request))

    @post(status_code=303, opt=needs(Permission.ADMINISTER))
    async def create(self, request: HtmlRequest) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        email, role, choice = form.text("email"), _role(form), sent_choice(visitor, form)
        if choice.problem:
            return _new_page(request, visitor, email, role, choice, status=422)

        def show(made: str | AccountProblem) -> Response[Any]:
            if isinstance(made, AccountProblem):
                return _new_page(request, visitor, email, role, choice, problem=made, status=422)
            return _password_page(request, visitor, email, made)

        return await do_once(
            request,
            visitor,
            lambda once: create_operator(
                visitor.services.db,
                email,
                role,
                choice.programs,
                by=visitor.identity.name,
                within=visitor.operator.programs,
                keyed=once,
            ),
            then=lambda _: "/console/operators?done=operators.created",
            show=show,
        )

    @get("/{operator_id:uuid}", opt=needs(Permission.ADMINISTER))
    async def operator(self, request: HtmlRequest, operator_id: OperatorId) -> Response[Any]:
        visitor = visitor_of(request)
        return _operator_page(request, visitor, await _find(visitor, operator_id))

    @post("/{operator_id:uuid}", status_code=303, opt=needs(Permission.ADMINISTER))
    async def change(self, request: HtmlRequest, operator_id: OperatorId) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        operator = await _find(visitor, operator_id)
        choice = sent_choice(visitor, form, operator.programs)
        if choice.problem:
            return _operator_page(request, visitor, operator, form=form, choice=choice)
        return await do_once(
            request,
            visitor,
            lambda once: change_operator(
                visitor.services.db,
                operator.email,
                role=_role(form),
                programs=choice.programs,
                enabled=form.text("enabled") == "yes",
                by=visitor.identity.name,
                within=visitor.operator.programs,
                keyed=once,
            ),
            then=lambda _: f"/console/operators/{operator_id}?done=operators.changed",
            show=lambda problem: (
                None if problem is None else _operator_page(request, visitor, operator, problem=problem)
            ),
        )

    @post("/{operator_id:uuid}/reset", status_code=303, opt=needs(Permission.ADMINISTER))
    async def reset(self, request: HtmlRequest, operator_id: OperatorId) -> Response[Any]:
        visitor = visitor_of(request)
        operator = await _find(visitor, operator_id)

        def show(made: str | AccountProblem) -> Response[Any]:
            if isinstance(made, AccountProblem):
                return _operator_page(request, visitor, operator, problem=made)
            return _password_page(request, visitor, operator.email, made)

        return await do_once(
            request,
            visitor,
            lambda once: reset_operator(
                visitor.services.db,
                operator.email,
                by=visitor.identity.name,
                within=visitor.operator.programs,
                keyed=once,
            ),
            then=lambda _: f"/console/operators/{operator_id}?done=operators.reset",
            show=show,
        )


async def _visible(visitor: Visitor) -> list[Operator]:
    return await list_operators(visitor.services.db, within=visitor.operator.programs)


async def _find(visitor: Visitor, operator_id: UUID) -> Operator:
    """Raises NotFoundException, also for an operator of other programs."""
    for operator in await _visible(visitor):
        if operator.id == operator_id:
            return operator
    raise NotFoundException(str(operator_id))


def _role(form: Form) -> Role:
    role = form.text("role")
    return role if role in ROLES else "viewer"


def _new_page(
    request: HtmlRequest,
    visitor: Visitor,
    email: str = "",
    role: Role = "viewer",
    choice: ProgramChoice | None = None,
    *,
    problem: str = "",
    status: int = 200,
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "operators/new.html",
        status=status,
        email=email,
        role=role,
        roles=ROLES,
        choice=choice or choice_for(visitor),
        account_problem=problem,
    )


def _operator_page(
    request: HtmlRequest,
    visitor: Visitor,
    operator: Operator,
    *,
    form: Form | None = None,
    choice: ProgramChoice | None = None,
    problem: str = "",
) -> Response[bytes]:
    is_enabled = operator.disabled_at is None if form is None else form.text("enabled") == "yes"
    return page(
        request,
        visitor,
        "operators/operator.html",
        status=422 if form or problem else 200,
        operator=operator,
        role=operator.role if form is None else _role(form),
        roles=ROLES,
        is_enabled=is_enabled,
        choice=choice or choice_for(visitor, operator.programs),
        account_problem=problem,
        is_own=operator.id == visitor.operator.id,
    )


def _password_page(request: HtmlRequest, visitor: Visitor, email: str, password: str) -> Response[bytes]:
    return page(request, visitor, "operators/password.html", email=email, password=password)
