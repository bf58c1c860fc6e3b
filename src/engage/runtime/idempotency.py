"""Idempotency-Keys: what a request under a key has done is done once, and its answer is given again.

A flow locks the key first in the transaction of its action, and keeps the answer last in the same
transaction. So an action and the answer under its key are committed together or not at all, whatever dies.
A refused request has done nothing: nothing is kept of it, and its key is free.

docs/decisions/0015-a-key-is-kept-with-its-action.md says why.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Code, Refusal
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store import idempotency
from engage.store.idempotency import RequestKey, StoredResponse

T = TypeVar("T")
R = TypeVar("R")


class Keyed(Struct, Generic[R], frozen=True):
    """The key of a request whose flow returns an R, and the response that an R becomes."""

    key: RequestKey
    respond: Callable[[R], StoredResponse]


async def find_response(services: Services, key: RequestKey) -> StoredResponse | None:
    """Return the answer that is kept under a key, or None.

    Raises Refusal idempotency_key_reused if it belongs to another request; Unavailable.
    """
    async with one_statement(services.db) as conn:
        found = await idempotency.find(conn, key)
    if found is None:
        return None
    fingerprint, response = found
    if fingerprint != key.fingerprint:
        raise Refusal(Code.IDEMPOTENCY_KEY_REUSED)
    return response


async def claim(conn: AsyncConnection, keyed: Keyed[Any] | None) -> None:
    """Lock the key of a request, as the first statement of its transaction.

    Raises Refusal request_in_flight if another transaction has the key, or has just answered it.
    """
    for answer in await claim_each(conn, [keyed], lambda _: keyed):
        if isinstance(answer, Refusal):
            raise answer


async def claim_each(
    conn: AsyncConnection, items: Sequence[T | Refusal], key_of: Callable[[T], Keyed[Any] | None]
) -> list[T | Refusal]:
    """Lock the keys of a batch's requests, as `claim` does: each item, or Refusal request_in_flight.

    An item that was refused before stays refused. Costs nothing if no item has a key.
    """
    keys = {
        number: keyed.key
        for number, item in enumerate(items)
        if not isinstance(item, Refusal) and (keyed := key_of(item)) is not None
    }
    if not keys:
        return list(items)
    free = dict(zip(keys, await idempotency.lock_free(conn, list(keys.values())), strict=True))
    return [
        item if free.get(number, True) else Refusal(Code.REQUEST_IN_FLIGHT, retry_after_s=1)
        for number, item in enumerate(items)
    ]


async def keep(conn: AsyncConnection, keyed: Keyed[R] | None, result: R) -> None:
    """Keep the answer of a request whose key was claimed, as the last statement of its transaction."""
    await keep_each(conn, [(keyed, result)])


async def keep_each(conn: AsyncConnection, answers: Iterable[tuple[Keyed[R] | None, R | Refusal]]) -> None:
    """Keep the answers of a batch, as `keep` does. Of refused requests nothing is kept."""
    kept = [
        (keyed.key, keyed.respond(result))
        for keyed, result in answers
        if keyed is not None and not isinstance(result, Refusal)
    ]
    if kept:
        await idempotency.keep(conn, kept)


async def keep_after(services: Services, key: RequestKey, response: StoredResponse) -> None:
    """Keep the answer of a request that would be answered the same without a key. Raises Unavailable."""
    async with one_statement(services.db) as conn:
        await idempotency.keep(conn, [(key, response)])
