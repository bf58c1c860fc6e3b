"""Guard a sandbox, which gives its keys to everybody: programs of this machine call it, and its own pages.

A page of the internet can reach a server on this machine in two ways. It can have its own name resolve to
127.0.0.1, and then it sends that name; and it can send a form, which cannot say that it is JSON.
"""

import re
from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from engage.api.http.context import api_of
from engage.domain.refusals import Code, Refusal

_LOOPBACK: Final = re.compile(
    r"(?:(?:[a-z0-9-]+\.)*localhost\.?|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\])(?::[0-9]{1,5})?",
    re.ASCII | re.IGNORECASE,
)


# A page's name cannot be an address that resolves to another one.
_ADDRESS: Final = re.compile(
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE
)


def loopback_only(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Guard a controller. Raises Refusal wrong_host; unsupported_media_type for a body that is not JSON."""
    loopback_host(connection, _handler)
    if isinstance(connection, Request) and connection.method == "POST":
        media_type, _, _ = connection.headers.get("content-type", "").partition(";")
        if media_type.strip().lower() != "application/json":
            raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE)


def loopback_host(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Guard pages whose forms have tokens of their own. Raises Refusal wrong_host."""
    hosts = connection.headers.getall("host", [])
    if len(hosts) != 1 or not _is_allowed(connection, hosts[0]):
        raise Refusal(Code.WRONG_HOST)


def _is_allowed(connection: ASGIConnection[Any, Any, Any, Any], host: str) -> bool:
    return bool(_LOOPBACK.fullmatch(host)) or (_is_open(connection) and bool(_ADDRESS.fullmatch(host)))


def _is_open(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Return whether `engage up --host` lets other machines in."""
    host = api_of(connection.scope).services.settings.api_host
    return not _LOOPBACK.fullmatch(f"[{host}]" if ":" in host else host)
