"""Rate limits of requests: charged with the credentials, shown in the headers of the answer.

Headers are those of draft-ietf-httpapi-ratelimit-headers-10. The window of a policy is the time in which an
empty quota is whole again, and `t` the time until it is now.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from engage.api.http.answers import Headers
from engage.api.http.context import Api, api_of
from engage.api.http.operation import UNLIMITED, tags_of
from engage.domain.identity import Identity
from engage.domain.refusals import Code, Refusal
from engage.runtime.rate_limits import Charge, Policy, Standing, retry_after_s
from engage.store.api_keys import ApiKey

# In the scope of a request: the standings of its caller.
_STANDINGS: Final = "engage.rate_limits"


def charge_member(api: Api, scope: Scope, member: Identity) -> None:
    """Charge a member, and the device of the token, once for a request. Raises Refusal rate_limited."""
    if _STANDINGS in scope:
        return
    limits = api.services.limits
    charges = [Charge(limits.member, f"{member.program_id}:{member.member_id}")]
    if member.device:
        charges.append(Charge(limits.device, member.device.hex()))
    _charge(api, scope, charges)


def charge_key(api: Api, scope: Scope, key: ApiKey) -> None:
    """Charge an API key once for a request. Raises Refusal rate_limited."""
    if _STANDINGS not in scope:
        _charge(api, scope, [Charge(api.services.limits.key, str(key.id))])


def charge_events(api: Api, scope: Scope, key: ApiKey, events: int) -> None:
    """Charge each event of a call but the first, which the call is charged for.

    Raises Refusal rate_limited.
    """
    if events > 1:
        _charge(api, scope, [Charge(api.services.limits.key, str(key.id), events - 1)])


def charge_stranger(api: Api, scope: Scope) -> None:
    """Charge the network of somebody without credentials, or with bad ones. Raises Refusal rate_limited."""
    peer, _ = scope["client"] or ("", 0)
    network = api.services.origins.public_network(peer, scope["headers"])
    if network is not None:
        _charge(api, scope, [Charge(api.services.limits.network, network.hex())])


def charge_refused(scope: Scope, refusal: Refusal) -> Refusal:
    """Charge the network for a request that was refused before its credentials were looked at.

    Returns the refusal, or rate_limited in its place. Health checks and the sandbox have no limits.
    """
    if _STANDINGS in scope or tags_of(scope) & UNLIMITED:
        return refusal
    try:
        charge_stranger(api_of(scope), scope)
    except Refusal as limited:
        return limited
    return refusal


def open_to_everybody(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Guard a controller that needs no credentials. Raises Refusal rate_limited."""
    charge_stranger(api_of(connection.scope), connection.scope)


def with_limit_headers(scope: Any, send: Any) -> Any:
    """Add the headers of the caller's standings to an answer. They are not part of a kept one."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start" and (standings := scope.get(_STANDINGS)):
            message = {**message, "headers": [*message["headers"], *limit_headers(standings)]}
        await send(message)

    return sending


def limit_headers(standings: Sequence[Standing]) -> Headers:
    left = b", ".join(
        b'"%s";r=%d;t=%d' % (each.policy.name.encode(), each.remaining, math.ceil(each.whole_in_s))
        for each in standings
    )
    return [
        (b"ratelimit-policy", b", ".join(_described(each.policy) for each in standings)),
        (b"ratelimit", left),
    ]


@cache
def _described(policy: Policy) -> bytes:
    return b'"%s";q=%d;w=%d' % (policy.name.encode(), policy.quota, math.ceil(policy.window_s))


def _charge(api: Api, scope: Any, charges: Iterable[Charge]) -> None:
    standings = scope[_STANDINGS] = api.services.limits.charge(charges)
    if wait_s := retry_after_s(standings):
        raise Refusal(Code.RATE_LIMITED, policy=standings[0].policy.name, retry_after_s=wait_s)
