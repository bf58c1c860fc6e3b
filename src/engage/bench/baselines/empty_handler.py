"""The baseline of `tap` for the HTTP side: a Litestar handler that does nothing."""

from litestar import post

from engage.bench.baselines.litestar_server import run
from engage.bench.setup.constants import TAPS


@post(TAPS, status_code=202)
async def tap() -> None:
    """Return an empty response."""


if __name__ == "__main__":
    run([tap])
