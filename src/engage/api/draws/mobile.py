"""Prize draws: the open ones, entries, and certificates."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter
from msgspec import Struct

from engage.api.http.answers import NOT_STORED, Answer, answer
from engage.api.http.batching import BatchedFlow
from engage.api.http.bodies import check_query, decode, has_body, read_body
from engage.api.http.callers import member_idempotency, member_of, members_only
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.api.http.problems import language_of
from engage.domain.draws.certificate import DrawCertificate
from engage.domain.draws.definition import Post
from engage.domain.refusals import UseCase
from engage.flows.draws.enter import DrawEntry, EntryRequest, enter
from engage.flows.draws.reads import DrawSummary, DrawView, list_draws, read_certificate, read_draw

DrawIdParameter = Annotated[str, PathParameter(description="The id of the draw.")]


class DrawList(Struct, frozen=True):
    """All open draws. `next_cursor` is always null."""

    items: list[DrawSummary]
    next_cursor: None = None


class DrawEntryRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`post` is needed where the draw has conditions."""

    post: Post | None = None


# A draw's row stays locked until a whole batch is written, so a second batch would only wait for it.
ENTER: Final = BatchedFlow(enter, max_size=128)

_entry = msgspec.json.Decoder(DrawEntryRequest)


def _entered(entry: DrawEntry) -> Answer[DrawEntry]:
    return answer(entry, 202)


class DrawController(Controller):
    path = "/v1/draws"
    tags = ("Draws",)
    security = (MEMBER,)

    @get(
        operation_id="listDraws",
        summary="List open draws",
        response_description="The open draws, those that close first standing first.",
        opt=contract(),
    )
    async def draws(self, request: Request[Any, Any, Any]) -> Answer[DrawList]:
        """Titles are in the language of `Accept-Language`."""
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            found = await list_draws(
                api.services, member.program_id, member.member_id, language=language_of(request.scope)
            )
        return answer(DrawList(found))

    @post(
        "/{draw_id:str}/entries",
        status_code=202,
        middleware=(member_idempotency(),),
        operation_id="enterDraw",
        summary="Enter a draw",
        response_description="The entry will be in the list. Keep `salt` and `hash`: they prove it.",
        opt=contract(UseCase.ENTER_DRAW, body=DrawEntryRequest, body_optional=True, repeat=Repeat.KEY),
    )
    async def enter(self, request: Request[Any, Any, Any], draw_id: DrawIdParameter) -> Answer[DrawEntry]:
        """Once for each member. A draw can ask for a public post with a hashtag and so many mentions."""
        api, member = await member_of(request.scope)
        given = await _read_entry(request)
        key = keyed(request.scope, _entered)
        wanted = EntryRequest(member.program_id, member.member_id, draw_id, given.post, key)
        with members_only():
            return _entered(await api.batchers.submit(ENTER, wanted))

    @get(
        "/{draw_id:str}",
        operation_id="getDraw",
        summary="Get a draw",
        response_description="The draw, with the member's own entry.",
        opt=contract(UseCase.READ_DRAW),
    )
    async def draw(self, request: Request[Any, Any, Any], draw_id: DrawIdParameter) -> Answer[DrawView]:
        """At the closing the list is `frozen` and its root published. At the named round of the beacon the
        draw is `drawn`. It is `void` without entries, or if the round has not come within a week.
        """
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            found = await read_draw(
                api.services,
                member.program_id,
                member.member_id,
                draw_id,
                language=language_of(request.scope),
            )
        return answer(found)

    @get(
        "/{draw_id:str}/certificate",
        operation_id="getDrawCertificate",
        summary="Get the certificate of a draw",
        response_description="The certificate. `engage draw verify FILE` checks it.",
        opt=contract(UseCase.READ_DRAW),
    )
    async def certificate(
        self, request: Request[Any, Any, Any], draw_id: DrawIdParameter
    ) -> Answer[DrawCertificate]:
        """All that the winners follow from. From the freeze on, at first without the round's signature and
        the winners: whoever keeps it until then needs to trust nobody.
        """
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            found = await read_certificate(api.services, member.program_id, member.member_id, draw_id)
        return Answer(found, NOT_STORED, 200)


async def _read_entry(request: Request[Any, Any, Any]) -> DrawEntryRequest:
    """Raises Refusal invalid_request, body_too_large or request_timeout."""
    body = await read_body(request.scope, request.receive) if has_body(request.scope) else b""
    return decode(body, _entry) if body else DrawEntryRequest()
