"""Idempotent requests: one that is repeated with its Idempotency-Key gets the response of the first.

Each step commits by itself, so that a concurrent request sees that the first is being answered.
"""

from engage.domain.refusals import Code, Refusal
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store import idempotency
from engage.store.idempotency import StoredResponse


async def begin_request(
    services: Services, caller: str, key: str, *, fingerprint: bytes
) -> StoredResponse | None:
    """The stored response, or None if the caller has to answer this request.

    Raises Refusal request_in_flight while another request with this key is being answered,
    idempotency_key_reused if the key belongs to a request with another fingerprint.
    """
    async with transaction(services.db) as conn:
        begun = await idempotency.begin(conn, caller, key, fingerprint=fingerprint, now=services.clock.wall())
    match begun:
        case StoredResponse():
            return begun
        case "new":
            return None
        case "in_flight":
            raise Refusal(Code.REQUEST_IN_FLIGHT, retry_after_s=1)
        case "other_request":
            raise Refusal(Code.IDEMPOTENCY_KEY_REUSED)


async def store_response(services: Services, caller: str, key: str, response: StoredResponse) -> None:
    """Stores a response until `engage.flows.scheduled.sweep` deletes it."""
    async with transaction(services.db) as conn:
        await idempotency.finish(conn, caller, key, response)


async def abandon_request(services: Services, caller: str, key: str) -> None:
    """Frees the key of a request that was not decided, so that it can be repeated."""
    async with transaction(services.db) as conn:
        await idempotency.abandon(conn, caller, key)
