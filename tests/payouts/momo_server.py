"""A local server with MTN MoMo's disbursement API. Tests set its answers."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar, Request, Response, get, post
from litestar.params import FromPath

from engage.embedded.ports import free_port
from engage.payouts.momo import MomoAccount
from engage.settings import Settings
from tests.support.eventually import WITHIN_S

USER, KEY, SUBSCRIPTION, ENVIRONMENT = "user-1", "key-1", "subscription-1", "sandbox"


class Transfer(msgspec.Struct):
    """A requested transfer and its state."""

    body: dict[str, Any]
    status: str = "PENDING"
    reason: Any = None


class Momo:
    """The state of the server: `transfers` by reference, and settings by kind of request (token, transfer or
    status).

    `instead`: the next request is answered (status, body) and not processed. `after`: it is processed, then
    answered (status, body). `hanging`: requests are never answered; transfers are accepted all the same.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.transfers: dict[UUID, Transfer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.tokens: set[str] = set()
        self.revoked: set[str] = set()
        self.expires_in = 3600
        self.keys = {KEY}
        self.subscriptions = {SUBSCRIPTION}
        self.instead: dict[str, tuple[int, Any]] = {}
        self.after: dict[str, tuple[int, Any]] = {}
        self.hanging: set[str] = set()
        self.arrived = asyncio.Event()

    def account(self, **other: str) -> MomoAccount:
        fields = {
            "url": self.url,
            "environment": ENVIRONMENT,
            "subscription_key": SUBSCRIPTION,
            "user": USER,
            "key": KEY,
        }
        return MomoAccount(**(fields | other))

    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(
            settings,
            payouts="momo",
            momo_url=self.url,
            momo_environment=ENVIRONMENT,
            momo_subscription_key=SUBSCRIPTION,
            momo_user=USER,
            momo_key=KEY,
        )

    async def token(self, headers: dict[str, str]) -> Response[Any]:
        await self._pass("token", headers)
        if "token" in self.instead:
            return _answer(*self.instead.pop("token"))
        accepted = {base64.b64encode(f"{USER}:{key}".encode()).decode() for key in self.keys}
        if headers.get("authorization", "").removeprefix("Basic ") not in accepted:
            return _answer(401, {"error": "login_failed"})
        if headers.get("ocp-apim-subscription-key") not in self.subscriptions:
            return _answer(401, {"statusCode": 401, "message": "Access denied due to invalid key."})
        token = f"token-{len(self.tokens) + 1}"
        self.tokens.add(token)
        return _answer(
            200,
            {"access_token": token, "token_type": "access_token", "expires_in": self.expires_in},
        )

    async def transfer(self, headers: dict[str, str], body: dict[str, Any]) -> Response[Any]:
        if "transfer" in self.instead:
            return _answer(*self.instead.pop("transfer"))
        refused = self._refused(headers)
        if refused is not None:
            return refused
        reference = UUID(headers["x-reference-id"])
        if reference.version != 4:
            return _answer(400, {"code": "INVALID_REFERENCE", "message": "not a UUID of version 4"})
        if reference in self.transfers:
            return _answer(409, {"code": "RESOURCE_ALREADY_EXIST", "message": "Duplicated reference id."})
        self.transfers[reference] = Transfer(body)
        await self._pass("transfer", headers)
        return _answer(*self.after.pop("transfer", (202, None)))

    async def status(self, headers: dict[str, str], reference: UUID) -> Response[Any]:
        await self._pass("status", headers)
        if "status" in self.instead:
            return _answer(*self.instead.pop("status"))
        refused = self._refused(headers)
        if refused is not None:
            return refused
        transfer = self.transfers.get(reference)
        if transfer is None:
            return _answer(
                404, {"code": "RESOURCE_NOT_FOUND", "message": "Requested resource was not found."}
            )
        body = transfer.body | {"status": transfer.status}
        if transfer.status == "SUCCESSFUL":
            body["financialTransactionId"] = "363440463"
        if transfer.reason is not None:
            body["reason"] = transfer.reason
        return _answer(200, body)

    def _refused(self, headers: dict[str, str]) -> Response[Any] | None:
        if headers.get("ocp-apim-subscription-key") not in self.subscriptions:
            return _answer(401, {"statusCode": 401, "message": "Access denied due to invalid key."})
        if headers.get("x-target-environment") != ENVIRONMENT:
            return _answer(403, {"code": "NOT_ALLOWED_TARGET_ENVIRONMENT", "message": "Access forbidden."})
        if headers.get("authorization") not in {f"Bearer {token}" for token in self.tokens - self.revoked}:
            return _answer(401, {"message": "Unauthorized"})
        return None

    async def _pass(self, path: str, headers: dict[str, str]) -> None:
        self.requests.append((path, headers))
        if path in self.hanging:
            self.arrived.set()
            await asyncio.Event().wait()


@asynccontextmanager
async def momo() -> AsyncIterator[Momo]:
    port = free_port("127.0.0.1")
    served = Momo(port)
    server = Server(
        _app(served), address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False
    )
    serving = asyncio.create_task(server.serve())
    try:
        await _listening(port, serving)
        yield served
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await serving


async def _listening(port: int, serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert not serving.done()
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


def _app(served: Momo) -> Litestar:
    @post("/disbursement/token/", status_code=200)
    async def token(request: Request[Any, Any, Any]) -> Response[Any]:
        return await served.token(dict(request.headers))

    @post("/disbursement/v1_0/transfer", status_code=202)
    async def transfer(request: Request[Any, Any, Any]) -> Response[Any]:
        return await served.transfer(dict(request.headers), await request.json())

    @get("/disbursement/v1_0/transfer/{reference:uuid}")
    async def status(request: Request[Any, Any, Any], reference: FromPath[UUID]) -> Response[Any]:
        return await served.status(dict(request.headers), reference)

    return Litestar([token, transfer, status], openapi_config=None, logging_config=None)


def _answer(status: int, body: Any) -> Response[Any]:
    if isinstance(body, str):
        return Response(body, status_code=status, media_type="text/html")
    return Response(b"" if body is None else body, status_code=status, media_type="application/json")
