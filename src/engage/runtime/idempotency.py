"""An answer is given once: a request that comes again with its Idempotency-Key gets the answer it got.

Each step commits by itself, so that whoever asks meanwhile sees that the answer is on its way.
"""

from engage.domain.refusals import Code, Refusal
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store import idempotency
from engage.store.idempotency import StoredResponse


async def begin_answer(
    services: Services, caller: str, key: str, *, fingerprint: bytes
) -> StoredResponse | None:
    """The answer that was given before; None when this request is to be answered now.

    Raises Refusal request_in_flight while another one with this key is being answered,
    idempotency_key_reused where the key belongs to a request with another fingerprint.
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


async def keep_answer(services: Services, caller: str, key: str, answer: StoredResponse) -> None:
    """To be given again for as long as `engage.flows.scheduled.sweep` keeps it."""
    async with transaction(services.db) as conn:
        await idempotency.finish(conn, caller, key, answer)


async def abandon_answer(services: Services, caller: str, key: str) -> None:
    """Nothing was decided: the same request may come again and be answered anew."""
    async with transaction(services.db) as conn:
        await idempotency.abandon(conn, caller, key)
