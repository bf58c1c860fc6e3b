"""The API as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from litestar import Controller, Litestar

from engage.api.admin.coupons import CouponController
from engage.api.admin.members import OperatorMemberController
from engage.api.admin.programs import ProgramController
from engage.api.admin.reports import ReportController
from engage.api.admin.withdrawals import AdminWithdrawalController
from engage.api.context import STATE, Api, open_api
from engage.api.health import HealthController
from engage.api.mobile.activities import ActivityController
from engage.api.mobile.feed import FeedController
from engage.api.mobile.me import MeController
from engage.api.mobile.rewards import RewardController
from engage.api.mobile.withdrawals import WithdrawalController
from engage.api.problems import BODY_BYTES, to_problem
from engage.api.sandbox import SandboxController
from engage.api.shop.checkout import CheckoutController, FCodeController
from engage.api.shop.events import EventController
from engage.api.shop.members import MemberController
from engage.api.site import DemoController, reference_of
from engage.clock import Clock
from engage.settings import Settings

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]

CONTROLLERS: tuple[type[Controller], ...] = (
    MeController,
    ActivityController,
    RewardController,
    WithdrawalController,
    FeedController,
    MemberController,
    EventController,
    CheckoutController,
    FCodeController,
    AdminWithdrawalController,
    CouponController,
    OperatorMemberController,
    ProgramController,
    ReportController,
    HealthController,
)


def controllers(*, sandbox: bool) -> list[type[Controller]]:
    """Those of the contract. Without a sandbox its paths are not there at all."""
    return [*CONTROLLERS, SandboxController] if sandbox else [*CONTROLLERS]


def create_app(settings: Settings, clock: Clock | None = None) -> Litestar:
    """For any ASGI server: it opens what it needs when its lifespan begins, which raises SettingsError."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_api(settings, clock) as api:
            app.state[STATE] = api
            yield

    return _app(settings, lifespan=[lifespan])


def app_of(api: Api) -> Litestar:
    """Over what is open already; its lifespan does nothing."""
    app = _app(api.services.settings, lifespan=[])
    app.state[STATE] = api
    return app


def _app(
    settings: Settings, lifespan: list[Callable[[Litestar], AbstractAsyncContextManager[None]]]
) -> Litestar:
    sandbox = settings.sandbox is not None
    contract = controllers(sandbox=sandbox)
    return Litestar(
        [*contract, reference_of(contract), *([DemoController] if sandbox else [])],
        lifespan=lifespan,
        exception_handlers={Exception: to_problem},
        request_max_body_size=BODY_BYTES,
        # The contract is served by `engage.api.site`; exceptions are logged where they become problems, and
        # requests by the proxy.
        openapi_config=None,
        logging_config=None,
    )
