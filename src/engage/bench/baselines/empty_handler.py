"""What `tap` is compared with: a Litestar handler that does nothing, on the server that the API runs on."""

import gc

import uvloop
from litestar import Litestar, post

from engage.api.run import serve
from engage.settings import Settings, from_environment


@post("/v1/fuel/taps", status_code=202)
async def tap() -> None:
    """Nothing."""


async def _run(settings: Settings) -> None:
    app = Litestar([tap], openapi_config=None, logging_config=None)
    async with app.lifespan():
        gc.collect()
        gc.freeze()
        await serve(app, host=settings.api_host, port=settings.api_port)


if __name__ == "__main__":
    uvloop.run(_run(from_environment()))
