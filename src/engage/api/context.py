"""What the controllers work with: the open parts, and what only an API has."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from litestar.types import Scope
from msgspec import Struct

from engage import sandbox_secrets
from engage.api.callers import KeyRing
from engage.batching import Batcher
from engage.clock import Clock
from engage.domain.activity import AnyActivity
from engage.domain.refusals import Unavailable
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.checkout.close_holds import ClosedHold, HoldClosing, close_holds
from engage.flows.checkout.hold import CheckoutHold, HoldRequest, hold
from engage.flows.rewards.redeem import Redemption, RewardRequest, redeem
from engage.runtime.services import Services, follow_sandbox_clock, open_services
from engage.sandbox_secrets import SandboxSecrets
from engage.settings import Settings
from engage.tokens.verifier import TokenVerifier, open_verifier

STATE = "api"
ACTS_PER_BATCH = 256
SPENDS_PER_BATCH = 64  # Balances stay locked until all of a batch are written.
BATCHES_IN_FLIGHT = 2
START_RETRY_S = 0.25

log = structlog.get_logger()


class Deed(Struct, frozen=True):
    """What a member does now. The time is that of its batch, so that it can be decided with the others."""

    program_id: str
    member_id: str
    activity: AnyActivity


class Api(Struct):
    """An API that is open. Until it has `started` it knows no programs, so it decides nothing."""

    services: Services
    verifier: TokenVerifier
    keys: KeyRing
    recorder: Batcher[Deed, RecordedActivity]
    holder: Batcher[HoldRequest, CheckoutHold]
    ender: Batcher[HoldClosing, ClosedHold]
    redeemer: Batcher[RewardRequest, Redemption]
    sandbox: SandboxSecrets | None
    started: bool = False


def api_of(scope: Scope) -> Api:
    found: Api = scope["litestar_app"].state[STATE]
    return found


def started_api_of(scope: Scope) -> Api:
    """Raises Unavailable while the database has not been reached for the first time."""
    api = api_of(scope)
    if not api.started:
        raise Unavailable("postgres")
    return api


@asynccontextmanager
async def open_api(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Api]:
    """Opens whatever is away too: the API is there and says so, and begins when it can.

    Raises SettingsError.
    """
    async with open_services(settings, clock) as services:
        verifier = await open_verifier(settings, services.clock)
        recorder: Batcher[Deed, RecordedActivity] = Batcher(
            partial(_record, services), max_size=ACTS_PER_BATCH, in_flight=BATCHES_IN_FLIGHT
        )
        holder, ender, redeemer = _spending(services)
        secrets = sandbox_secrets.read(settings.sandbox) if settings.sandbox is not None else None
        api = Api(services, verifier, KeyRing(services.db), recorder, holder, ender, redeemer, secrets)
        await _try_to_start(api)
        starting = asyncio.create_task(_start(api))
        try:
            yield api
        finally:
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            for batcher in (recorder, holder, ender, redeemer):
                await batcher.drain()
            await verifier.close()


def _spending(
    services: Services,
) -> tuple[
    Batcher[HoldRequest, CheckoutHold], Batcher[HoldClosing, ClosedHold], Batcher[RewardRequest, Redemption]
]:
    """What spends points: many requests share a transaction, too. One transaction at a time is the faster
    way: each takes more with it, and none waits for balances that another one has locked.
    """
    sizes = {"max_size": SPENDS_PER_BATCH, "in_flight": 1}
    return (
        Batcher(partial(hold, services), **sizes),
        Batcher(partial(close_holds, services), **sizes),
        Batcher(partial(redeem, services), **sizes),
    )


async def _record(services: Services, deeds: list[Deed]) -> Sequence[RecordedActivity | Exception]:
    now = services.clock.now()
    return await record(
        services, [MemberActivity(deed.program_id, deed.member_id, deed.activity, now) for deed in deeds]
    )


async def _start(api: Api) -> None:
    while not api.started:
        await asyncio.sleep(START_RETRY_S)
        await _try_to_start(api)


async def _try_to_start(api: Api) -> None:
    try:
        await api.services.programs.refresh(api.services.db)
        await api.services.members.refresh(api.services.db)
        await follow_sandbox_clock(api.services)
        api.started = True
    except Unavailable as away:
        log.warning("waiting for a part", part=away.facts["part"])
    except Exception:  # Tables that are not there yet, say: it is told, and tried again.
        log.exception("not ready to start")
