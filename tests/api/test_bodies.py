"""A body is read in bounded time and space."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import inspect

from engage.api.controllers import controllers
from engage.api.http import bodies
from engage.api.http.bodies import read_body
from engage.api.http.operation import OPT, contract_of
from engage.domain.refusals import Refusal

SCOPE: Any = {"headers": [], "http_version": "1.1"}


def sending(*chunks: bytes, ends: bool = True) -> Any:
    """Make an ASGI `receive` of these chunks. Without `ends` more is announced and never sent."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left) or not ends}

    return receive


async def test_a_body_may_arrive_in_any_chunks() -> None:
    assert await read_body(SCOPE, sending(b"{", b"", b"}")) == b"{}"


async def test_a_body_without_a_length_is_read_to_the_limit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "DISCARD_S", 0.01)
    with pytest.raises(Refusal) as refused:
        await read_body(SCOPE, sending(*[b"1234"] * 100, ends=False), 10)
    assert (refused.value.code, refused.value.status) == ("body_too_large", 413)


async def test_a_body_that_does_not_arrive_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.01)
    with pytest.raises(Refusal) as refused:
        await read_body(SCOPE, sending(b"{", ends=False))
    assert (refused.value.code, refused.value.status) == ("request_timeout", 408)


# Lists and words in the examples and rules of documents, as programs have them: a body limits them all
# together, and they are compared, never stored by themselves.
PARTS_OF_DOCUMENTS = {
    *("CampaignExample.steps", "Step.earns", "Step.expiring", "Step.tiers", "OrderReturnedStep.lines"),
    *("ExpectedCoupon.reasons", "ExpectedCoupon.reasons[]", "ExpectedCredit.source_key"),
    *("ExpectedQuote.coupons", "ExpectedQuote.reasons", "ExpectedQuote.reasons[]"),
    *("Hold.coupons", "Spend.coupons", "OrderScope.channels", "OrderScope.refused_methods", "Rule.also"),
}


def test_every_number_text_and_list_of_a_body_has_bounds() -> None:
    """The types say what no decoder knows: how long a text may be, and which numbers fit into a column."""
    app = Litestar(controllers(sandbox=True), openapi_config=None, logging_config=None)
    bodies_read = [
        contract_of(handler).body
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if OPT in handler.opt
    ]
    found = {
        where for body in bodies_read if body is not None for where in unbounded(inspect.type_info(body))
    }
    assert found == {"PublishVersionRequest.document", *PARTS_OF_DOCUMENTS}


def unbounded(type_: inspect.Type, where: str = "", seen: frozenset[type] = frozenset()) -> Iterator[str]:
    match type_:
        case inspect.IntType():
            if None in (
                type_.ge if type_.gt is None else type_.gt,
                type_.le if type_.lt is None else type_.lt,
            ):
                yield where
        case inspect.StrType():
            if type_.max_length is None and type_.pattern is None:
                yield where
        case inspect.AnyType() | inspect.FloatType():
            yield where
        case inspect.DictType():
            if type_.max_length is None:
                yield where
            yield from unbounded(type_.key_type, f"{where}{{}}", seen)
            yield from unbounded(type_.value_type, f"{where}[]", seen)
        case inspect.ListType() | inspect.VarTupleType():
            if type_.max_length is None:
                yield where
            yield from unbounded(type_.item_type, f"{where}[]", seen)
        case inspect.UnionType():
            for each in type_.types:
                yield from unbounded(each, where, seen)
        case inspect.StructType() if type_.cls not in seen:
            for field in type_.fields:
                path = f"{type_.cls.__name__}.{field.encode_name}"
                yield from unbounded(field.type, path, seen | {type_.cls})
