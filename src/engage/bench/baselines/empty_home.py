"""The baseline of `home`: a Litestar handler that does nothing."""

from litestar import get

from engage.bench.baselines.litestar_server import run
from engage.bench.setup.constants import HOME


@get(HOME)
async def home() -> None:
    """Return an empty response."""


if __name__ == "__main__":
    run([home])
