"""The API as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from litestar import Litestar

from engage.api.controllers import controllers
from engage.api.http.application import Application
from engage.api.http.context import STATE, Api, open_api
from engage.api.http.loopback import loopback_host
from engage.api.http.problems import BODY_BYTES, to_problem
from engage.api.site import DemoController, reference
from engage.clock import Clock
from engage.console import context as console
from engage.console.site import console_router
from engage.settings import Settings

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_app(settings: Settings, clock: Clock | None = None) -> Application:
    """Make an application for any ASGI server. Its lifespan opens the API, and raises SettingsError."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_api(settings, clock) as api:
            _open(app, api)
            yield

    return _app(settings, lifespan=[lifespan])


def app_of(api: Api) -> Application:
    """Make an application of an open API. Its lifespan does nothing."""
    app = _app(api.services.settings, lifespan=[])
    _open(app, api)
    return app


def _open(app: Litestar, api: Api) -> None:
    assert isinstance(app, Application)
    app.count_in(api.services.metrics.api)
    app.state[STATE] = api
    app.state[console.STATE] = console.Console(api.services, api.sandbox, api.check)


def _app(settings: Settings, lifespan: list[Lifespan]) -> Application:
    sandbox = settings.sandbox is not None
    return Application(
        [
            *controllers(sandbox=sandbox),
            reference(sandbox=sandbox),
            *([DemoController] if sandbox else []),
            console_router(settings, [loopback_host] if sandbox else []),
        ],
        lifespan=lifespan,
        exception_handlers={Exception: to_problem},
        request_max_body_size=BODY_BYTES,
        # `engage.api.site` serves the contract, `to_problem` logs exceptions, and the proxy logs requests.
        openapi_config=None,
        logging_config=None,
    )
