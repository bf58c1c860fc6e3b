"""The list of API keys, the form for a new one, and one key."""

from typing import Annotated, Any, Final, cast, get_args

from litestar import Controller, get, post
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import PathParameter
from litestar.response import Response

from engage.console.context import HtmlRequest, Visitor, visitor_of
from engage.console.forms import do_once, read_form
from engage.console.permissions import needs
from engage.console.programs_choice import ProgramChoice, choice_for, sent_choice
from engage.console.rendering import page
from engage.domain.operators.roles import Permission
from engage.flows.operations.keys import bind_key, create_key, list_keys, revoke_key
from engage.store.api_keys import ListedKey, Scope

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
LONGEST_NAME: Final = 100

KeyId = Annotated[str, PathParameter()]


class KeyController(Controller):
    path = "/keys"

    @get(opt=needs(Permission.ADMINISTER))
    async def keys(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        return page(request, visitor, "keys/list.html", keys=await _visible(visitor))

    @get("/new", opt=needs(Permission.ADMINISTER))
    async def new(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        return _new_page(request, visitor, "", SCOPES[0], choice_for(visitor))

    @post(status_code=303, opt=needs(Permission.ADMINISTER))
    async def create(self, request: HtmlRequest) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        name, choice = form.text("name"), sent_choice(visitor, form)
        if form.text("scope") not in SCOPES:
            raise ClientException("no such scope")
        scope = cast(Scope, form.text("scope"))
        has_name = 0 < len(name) <= LONGEST_NAME and name.isprintable()
        if choice.problem or not has_name:
            return _new_page(request, visitor, name, scope, choice, name_problem=not has_name, status=422)
        return await do_once(
            request,
            visitor,
            lambda once: create_key(
                visitor.services.db,
                name=name,
                scopes=[scope],
                programs=choice.programs,
                operator=visitor.identity.name,
                within=visitor.operator.programs,
                keyed=once,
            ),
            then=lambda _: "/console/keys?done=keys.created",
            show=lambda key: page(request, visitor, "keys/shown.html", name=name, key=key),
        )

    @get("/{key_id:str}", opt=needs(Permission.ADMINISTER))
    async def key(self, request: HtmlRequest, key_id: KeyId) -> Response[Any]:
        visitor = visitor_of(request)
        key = await _find(visitor, key_id)
        choice = choice_for(visitor, key.programs)
        return page(request, visitor, "keys/key.html", key=key, choice=choice)

    @post("/{key_id:str}/programs", status_code=303, opt=needs(Permission.ADMINISTER))
    async def bind(self, request: HtmlRequest, key_id: KeyId) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        key = await _find(visitor, key_id)
        choice = sent_choice(visitor, form, key.programs)
        if choice.problem:
            return page(request, visitor, "keys/key.html", status=422, key=key, choice=choice)
        return await do_once(
            request,
            visitor,
            lambda once: bind_key(
                visitor.services.db,
                key_id,
                choice.programs,
                operator=visitor.identity.name,
                within=visitor.operator.programs,
                keyed=once,
            ),
            then=lambda bound: f"/console/keys/{key_id}{'?done=keys.bound' if bound else ''}",
        )

    @post("/{key_id:str}/revoke", status_code=303, opt=needs(Permission.ADMINISTER))
    async def revoke(self, request: HtmlRequest, key_id: KeyId) -> Response[Any]:
        visitor = visitor_of(request)
        key = await _find(visitor, key_id)
        return await do_once(
            request,
            visitor,
            lambda once: revoke_key(
                visitor.services.db,
                key.id,
                operator=visitor.identity.name,
                within=visitor.operator.programs,
                keyed=once,
            ),
            then=lambda revoked: f"/console/keys{'?done=keys.revoked' if revoked else ''}",
        )


async def _visible(visitor: Visitor) -> list[ListedKey]:
    return await list_keys(visitor.services.db, within=visitor.operator.programs)


async def _find(visitor: Visitor, key_id: str) -> ListedKey:
    """Raises NotFoundException, also for a key of other programs."""
    for key in await _visible(visitor):
        if key.id == key_id:
            return key
    raise NotFoundException(key_id)


def _new_page(
    request: HtmlRequest,
    visitor: Visitor,
    name: str,
    scope: Scope,
    choice: ProgramChoice,
    *,
    name_problem: bool = False,
    status: int = 200,
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "keys/new.html",
        status=status,
        name=name,
        longest_name=LONGEST_NAME,
        name_problem=name_problem,
        scope=scope,
        scopes=SCOPES,
        choice=choice,
    )
