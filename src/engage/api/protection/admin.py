"""The review queue of suspicions, and the decisions about them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, read_json
from engage.api.http.callers import opened_programs, operator_idempotency, operator_of
from engage.api.http.idempotency import keyed
from engage.api.http.operation import OPERATOR, Repeat, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, id_before
from engage.api.http.parameters import NOT_GIVEN
from engage.domain.activity import ONE_LINE
from engage.domain.identity import Operator
from engage.domain.refusals import UseCase
from engage.flows.protection.decide import decide, undo
from engage.flows.protection.queue import (
    DecisionView,
    SuspicionDetail,
    SuspicionView,
    decision_view,
    list_queue,
    read_detail,
    read_program,
)
from engage.store.protection.decisions import Decision

SuspicionIdParameter = Annotated[UUID, PathParameter(description="The id of the suspicion.")]
StateParameter = Annotated[
    Literal["open", "requested", "released", "rejected", "ended", ""],
    QueryParameter(name="state", description="Only suspicions in this state."),
]
ProgramParameter = Annotated[
    str,
    QueryParameter(
        description="Only suspicions of this program; else of all that the key opens.", max_length=32
    ),
]
SourceParameter = Annotated[
    str,
    QueryParameter(
        description="Only those of this device or network: the `source` of a suspicion.",
        max_length=64,
        pattern=r"^([0-9a-f]{2})*$",
    ),
]


class SuspicionDecisionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reason` is kept with the suspicion."""

    reason: Annotated[
        str,
        Meta(min_length=1, max_length=500, pattern=ONE_LINE, description="1 to 500 characters on one line"),
    ]


class SuspicionPage(Struct, frozen=True):
    """A page of suspicions."""

    items: list[SuspicionView]
    next_cursor: str | None


_decision = msgspec.json.Decoder(SuspicionDecisionRequest)

Decide = Callable[..., Awaitable[Decision]]


class AdminSuspicionController(Controller):
    path = "/v1/admin/suspicions"
    tags = ("Protection",)
    security = (OPERATOR,)
    middleware = (operator_idempotency(),)

    @get(
        operation_id="listSuspicions",
        summary="List suspicions",
        response_description="A page of suspicions, newest first.",
        opt=contract(UseCase.DECIDE_SUSPICION),
    )
    async def queue(
        self,
        request: Request[Any, Any, Any],
        in_state: StateParameter = NOT_GIVEN,
        program: ProgramParameter = NOT_GIVEN,
        source: SourceParameter = NOT_GIVEN,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[SuspicionPage]:
        """Those in the state `open` wait for a decision, those in `requested` for a second operator."""
        api, key = await operator_of(request.scope)
        check_query(request, "state", "program", "source", "cursor", "limit")
        found = await list_queue(
            api.services,
            opened_programs(api, key, program),
            state=in_state or None,
            source=source or None,
            before=id_before(cursor),
            limit=limit + 1,
        )
        return answer(SuspicionPage(*cut(found, limit, lambda suspicion: suspicion.id)))

    @get(
        "/{suspicion_id:uuid}",
        operation_id="getSuspicion",
        summary="Get a suspicion",
        response_description="The suspicion with its members, credits and decisions.",
        opt=contract(),
    )
    async def show(
        self, request: Request[Any, Any, Any], suspicion_id: SuspicionIdParameter
    ) -> Answer[SuspicionDetail]:
        """With the first 500 of its credits, by member, and of the members who have places there."""
        api, key = await operator_of(request.scope)
        check_query(request)
        detail = await read_detail(api.services, suspicion_id)
        key.check(detail.suspicion.program)
        return answer(detail)

    @post(
        "/{suspicion_id:uuid}/release",
        status_code=200,
        operation_id="releaseSuspicion",
        summary="Release what is suspicious",
        response_description="The points are due at their normal time.",
        opt=contract(UseCase.DECIDE_SUSPICION, body=SuspicionDecisionRequest, repeat=Repeat.KEY),
    )
    async def release(
        self, request: Request[Any, Any, Any], suspicion_id: SuspicionIdParameter
    ) -> Answer[DecisionView]:
        """All that is open in the suspicion is due at its normal time, or at once if that is over."""
        return await _decide(request, suspicion_id, partial(decide, kind="released"))

    @post(
        "/{suspicion_id:uuid}/reject",
        status_code=200,
        operation_id="rejectSuspicion",
        summary="Reject what is suspicious",
        response_description="The points are taken back, or a second operator is asked for.",
        opt=contract(UseCase.DECIDE_SUSPICION, body=SuspicionDecisionRequest, repeat=Repeat.KEY),
    )
    async def reject(
        self, request: Request[Any, Any, Any], suspicion_id: SuspicionIdParameter
    ) -> Answer[DecisionView]:
        """All points that are open in the suspicion are taken back; of what was spent, a debt remains. More
        than 500 points of one member are taken when a second operator rejects too: until then the state is
        `requested`.
        """
        return await _decide(request, suspicion_id, partial(decide, kind="rejected"))

    @post(
        "/{suspicion_id:uuid}/undo",
        status_code=200,
        operation_id="undoSuspicionDecision",
        summary="Take the newest decision back",
        response_description="Everything that the decision was about is open again.",
        opt=contract(UseCase.DECIDE_SUSPICION, body=SuspicionDecisionRequest, repeat=Repeat.KEY),
    )
    async def undo(
        self, request: Request[Any, Any, Any], suspicion_id: SuspicionIdParameter
    ) -> Answer[DecisionView]:
        """Points that were taken are given back, as new credits that are due when the old ones were; points
        that were released are held again unless they are active.
        """
        return await _decide(request, suspicion_id, undo)


def _answer(decision: Decision) -> Answer[DecisionView]:
    return answer(decision_view(decision))


async def _decide(
    request: Request[Any, Any, Any], suspicion_id: UUID, decision: Decide
) -> Answer[DecisionView]:
    api, key = await operator_of(request.scope)
    wanted = await read_json(request, _decision)
    key.check(await read_program(api.services, suspicion_id))
    made = await decision(
        api.services,
        suspicion_id,
        operator=Operator(key.id, key.name),
        reason=wanted.reason,
        keyed=keyed(request.scope, _answer),
    )
    return _answer(made)
