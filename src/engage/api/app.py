"""The API as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Controller, Litestar

from engage.api.context import STATE, open_api
from engage.api.health import HealthController
from engage.api.mobile.activities import ActivityController
from engage.api.mobile.feed import FeedController
from engage.api.mobile.me import MeController
from engage.api.problems import BODY_BYTES, to_problem
from engage.api.sandbox import SandboxController
from engage.api.shop.events import EventController
from engage.api.shop.members import MemberController
from engage.api.site import DemoController, reference_of
from engage.clock import Clock
from engage.settings import Settings

CONTROLLERS: tuple[type[Controller], ...] = (
    MeController,
    ActivityController,
    FeedController,
    MemberController,
    EventController,
    HealthController,
)


def controllers(*, sandbox: bool) -> list[type[Controller]]:
    """Those of the contract. Without a sandbox its paths are not there at all."""
    return [*CONTROLLERS, SandboxController] if sandbox else [*CONTROLLERS]


def create_app(settings: Settings, clock: Clock | None = None) -> Litestar:
    """It opens what it needs when its lifespan begins, which raises SettingsError."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_api(settings, clock) as api:
            app.state[STATE] = api
            yield

    sandbox = settings.sandbox is not None
    contract = controllers(sandbox=sandbox)
    return Litestar(
        [*contract, reference_of(contract), *([DemoController] if sandbox else [])],
        lifespan=[lifespan],
        exception_handlers={Exception: to_problem},
        request_max_body_size=BODY_BYTES,
        # The contract is served by `engage.api.site`; exceptions are logged where they become problems, and
        # requests by the proxy.
        openapi_config=None,
        logging_config=None,
    )
