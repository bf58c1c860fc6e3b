"""The shop's server that a request is from."""

from litestar.types import Scope

from engage.api.callers import key_of
from engage.api.context import Api, started_api_of
from engage.api.once import once
from engage.api.problems import BODY_BYTES

# A thousand orders do not fit into what is enough for any other body.
EVENTS_BYTES = 4 * 1024 * 1024


async def shop_of(scope: Scope) -> Api:
    """Raises Refusal unauthorized, or forbidden for a key that is not the shop's."""
    api = started_api_of(scope)
    await key_of(api.keys, scope, "shop")
    return api


async def _caller(api: Api, scope: Scope) -> str:
    return f"key:{(await key_of(api.keys, scope, 'shop')).id}"


once_for_shop = once(_caller, BODY_BYTES)
once_for_events = once(_caller, EVENTS_BYTES)
