"""drand's quicknet over HTTP (https://docs.drand.love/developer/http-api), by any of several relays."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from msgspec import Struct

from engage.decoding.bounded import UNCOMPRESSED, read_at_most
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.draws.beacon import QUICKNET, Chain, is_signed

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger()

# For one relay, and for all of them: a draw's row is locked meanwhile.
CALL_S: Final = 4.0
ALL_S: Final = 10.0

ANSWER_BYTES: Final = 16 * 1024


class _Round(Struct, frozen=True):
    round: int
    signature: str


_round = msgspec.json.Decoder(_Round)


class DrandBeacon:
    """Takes the round from the first relay that has it, verified with the pinned key."""

    def __init__(self, relays: Sequence[str], chain: Chain = QUICKNET) -> None:
        assert relays
        self._relays = [relay.rstrip("/") for relay in relays]
        self._chain = chain
        self._opened: httpx.AsyncClient | None = None

    @property
    def chain(self) -> Chain:
        return self._chain

    async def signature(self, number: int, *, at: datetime) -> str | None:
        try:
            async with asyncio.timeout(ALL_S):
                for relay in list(self._relays):
                    found = await self._ask(relay, number)
                    if found is not None:
                        return found
                    # The next question begins with the relay after this one.
                    self._relays.remove(relay)
                    self._relays.append(relay)
        except TimeoutError:
            log.warning("no relay of the beacon answers in time", round=number)
        return None

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()

    async def _ask(self, relay: str, number: int) -> str | None:
        try:
            async with asyncio.timeout(CALL_S):
                status, body = await self._get(f"{relay}/{self._chain.hash}/public/{number}")
            reason = f"status {status}"
            if status == 200:
                answer = decode_json(body, _round, limit_bytes=ANSWER_BYTES)
                if answer.round == number and is_signed(self._chain, number, answer.signature):
                    return answer.signature
                reason = "not the chain's signature of this round"
        except (OSError, TimeoutError, Malformed) as error:
            reason = f"{type(error).__name__}: {error}"
        log.warning("a relay of the beacon has no round", relay=relay, round=number, reason=reason)
        return None

    async def _get(self, url: str) -> tuple[int, bytes]:
        """Read an answer up to a little more than ANSWER_BYTES. Raises OSError."""
        # Imported here: most commands open services, and none of them asks a beacon.
        import httpx

        if self._opened is None:
            self._opened = httpx.AsyncClient(timeout=CALL_S, trust_env=False)
        try:
            async with self._opened.stream("GET", url, headers=UNCOMPRESSED) as answer:
                return answer.status_code, await read_at_most(answer.aiter_raw(), ANSWER_BYTES)
        except httpx.HTTPError as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
