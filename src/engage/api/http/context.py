"""The state of an open API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import structlog
from litestar.types import Scope
from msgspec import Struct

from engage import sandbox_secrets
from engage.api.http.api_keys import ApiKeyCache
from engage.api.http.batching import Batchers
from engage.clock import Clock
from engage.domain.refusals import Unavailable
from engage.runtime.background import running
from engage.runtime.database import REQUEST_TIMEOUT_S
from engage.runtime.liveness import API, send_heartbeats, touch_liveness_file
from engage.runtime.rate_limits import REPORT_S
from engage.runtime.services import Services, open_services
from engage.sandbox_secrets import SandboxSecrets
from engage.settings import Settings
from engage.tokens.verifier import TokenVerifier, open_verifier

STATE: Final = "api"
START_RETRY_S: Final = 0.25
KEYS_S: Final = 2.0  # A key that is withdrawn ends the tokens that are cached.

log = structlog.get_logger()


class Api(Struct):
    """An open API. Until it has `started` it knows no programs and refuses all requests. `under_way` are the
    requests with an Idempotency-Key, by caller and key.
    """

    services: Services
    verifier: TokenVerifier
    keys: ApiKeyCache
    batchers: Batchers
    sandbox: SandboxSecrets | None
    started: bool = False
    closing: bool = False  # It still answers, and is ready no more.
    under_way: dict[tuple[str, str], asyncio.Event] = {}

    def check(self) -> None:
        """Raises Unavailable until the database has been reached for the first time, while the machine's
        clock is too far off, and while the program versions that are known are too old.
        """
        if not self.started:
            raise Unavailable("postgres")
        self.services.clock.check()
        self.services.programs.check()

    def close(self) -> None:
        """Say that this process ends, so that proxies send no more requests."""
        self.closing = True


def api_of(scope: Scope) -> Api:
    api: Api = scope["litestar_app"].state[STATE]
    return api


def started_api_of(scope: Scope) -> Api:
    """The open API, which can work. Raises Unavailable, as `Api.check`."""
    api = api_of(scope)
    api.check()
    return api


@asynccontextmanager
async def open_api(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Api]:
    """Open the API. It starts as soon as all services are available. Raises SettingsError."""
    async with open_services(settings, clock, command_timeout_s=REQUEST_TIMEOUT_S) as services:
        verifier = await open_verifier(services.live, services.clock)
        secrets = sandbox_secrets.read(settings.sandbox) if settings.sandbox is not None else None
        api = Api(services, verifier, ApiKeyCache(services.db), Batchers(services), secrets)
        await _try_to_start(api)
        try:
            async with running(
                _start(api),
                services.loops.repeat("limits", services.limits.report, every_s=REPORT_S),
                services.loops.repeat("keys", partial(verifier.withdrawn, frozenset()), every_s=KEYS_S),
                send_heartbeats(services, API),
                touch_liveness_file(services),
            ):
                yield api
        finally:
            with suppress(Unavailable):
                await services.topics.end_heartbeat(API)
            await api.batchers.drain()
            await verifier.close()


async def _start(api: Api) -> None:
    while not api.started:
        await asyncio.sleep(START_RETRY_S)
        await _try_to_start(api)


async def _try_to_start(api: Api) -> None:
    try:
        await api.services.programs.refresh(api.services.db)
        await api.services.definitions.refresh(api.services.db)
        await api.services.campaigns.refresh(api.services.db)
        await api.services.members.refresh(api.services.db)
        await api.services.follow_clock()
        api.started = True
    except Unavailable as unavailable:
        log.warning("waiting for a service", part=unavailable.facts["part"])
    except Exception:  # The tables may not exist yet.
        log.exception("not ready to start")
