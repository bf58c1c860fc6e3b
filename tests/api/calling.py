"""Open an API in this process and call it as a member, the shop or an operator."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import count
from typing import Any

import httpx
import jsonschema_rs
import msgspec
from sqlalchemy import text

from engage.api.app import app_of
from engage.api.contract.built import read_built
from engage.api.contract.openapi import PROBLEM_JSON
from engage.api.http.application import Application
from engage.api.http.context import Api, open_api
from engage.clock import Clock
from engage.domain.refusals import RequestKind, codes_of
from engage.settings import Settings
from engage.tokens.signing import sign

PROGRAM = "eu-mi-points"
LIFETIME = timedelta(minutes=10)
_numbers = count(1)


class Caller:
    """A sender of requests with one authorization: a member, the shop or an operator."""

    def __init__(self, client: httpx.AsyncClient, authorization: str, member_id: str = "") -> None:
        self._client = client
        self._headers = {"authorization": authorization} if authorization else {}
        self.member_id = member_id

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self._client.get(path, headers=self._headers | _named(headers))

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send `body` as JSON, or as it is if it is bytes."""
        return await self._client.post(path, headers=self._headers | _named(headers), **_sent(body))

    async def request(self, method: str, path: str, body: object = None) -> httpx.Response:
        return await self._client.request(method, path, headers=self._headers, json=body)

    async def patch(self, path: str, body: object, **headers: str) -> httpx.Response:
        return await self._client.patch(path, headers=self._headers | _named(headers), json=body)

    async def put(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Send `body` as JSON, or as it is if it is bytes or an iterator of them."""
        return await self._client.put(path, headers=self._headers | _named(headers), **_sent(body))

    async def delete(self, path: str, **headers: str) -> httpx.Response:
        return await self._client.delete(path, headers=self._headers | _named(headers))


class Calling:
    """An open API, called through its ASGI interface."""

    def __init__(self, client: httpx.AsyncClient, api: Api, app: Application) -> None:
        self.client = client
        self.api = api
        self.app = app
        self.services = api.services
        self.nobody = Caller(client, "")
        assert api.sandbox is not None
        self.secrets = api.sandbox
        self.shop = Caller(client, f"Bearer {api.sandbox.shop_key}")
        self.operator = Caller(client, f"Bearer {api.sandbox.admin_key}")
        self.approver = Caller(client, f"Bearer {api.sandbox.approver_key}")

    def member_of(self, program: str, member_id: str) -> Caller:
        """Return a caller with a valid token. The member need not exist."""
        token = sign(self.secrets, program, member_id, LIFETIME)
        return Caller(self.client, f"Bearer {token}", member_id)

    async def joined(self, **fields: object) -> Caller:
        """Register a member."""
        member_id = f"m-{next(_numbers)}"
        joining = {
            "member_id": member_id,
            "program": PROGRAM,
            "country": "ES",
            "person_ref": f"person of {member_id}",
        } | fields
        answer = await self.shop.post("/v1/shop/members", joining)
        assert answer.status_code == 201, answer.text
        return self.member_of(PROGRAM, member_id)

    async def credits(self, member: Caller) -> list[tuple[str, str]]:
        """Return (source key, state) of the member's credits."""
        async with self.services.db.connect() as conn:
            rows = await conn.execute(
                text("SELECT source_key, state FROM credits WHERE member_id = :id ORDER BY 1"),
                {"id": member.member_id},
            )
            return [(key, state) for key, state in rows]

    def event(self, kind: str, member: Caller, at: datetime | None = None, **facts: object) -> dict[str, Any]:
        """Make an event with a new id."""
        return {
            "id": f"e-{next(_numbers)}",
            "type": kind,
            "time": (at or self.services.clock.now()).isoformat(),
            "program": PROGRAM,
            "member_id": member.member_id,
            "data": facts,
        }


@asynccontextmanager
async def calling(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Calling]:
    """Open the API of an installation whose programs are published."""
    async with open_api(settings, clock) as api:
        app = app_of(api)
        async with client_of(app) as client:
            yield Calling(client, api, app)


def client_of(app: Any, *, sandbox: bool = True) -> httpx.AsyncClient:
    """Make a client whose requests fail on a problem that the operation does not document."""
    hooks: dict[str, list[Callable[..., Any]]] = {"response": [partial(_check_problem, sandbox)]}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", event_hooks=hooks
    )


async def _check_problem(sandbox: bool, answer: httpx.Response) -> None:
    if answer.headers.get("content-type") != PROBLEM_JSON:
        return
    await answer.aread()
    problem = answer.json()
    documented, validator = _documented(sandbox)
    validator.validate(problem)
    operation = f"{answer.request.method} {answer.request.url.path}"
    for pattern, codes in documented:
        if pattern.fullmatch(operation):
            assert problem["code"] in codes, f"{operation} does not document {problem['code']}"
            return
    assert problem["code"] in codes_of(RequestKind.OF_NO_OPERATION), (operation, problem)


@cache
def _documented(sandbox: bool) -> tuple[list[tuple[re.Pattern[str], set[str]]], Any]:
    """Return (pattern of method and path, codes) of each operation, and a validator of problems."""
    contract = msgspec.json.decode(read_built(sandbox=sandbox))
    documented = [
        (
            re.compile(f"{method.upper()} {re.sub('{.*?}', '[^/]+', path)}"),
            {
                code
                for answer in operation["responses"].values()
                for code in answer.get("content", {}).get(PROBLEM_JSON, {}).get("examples", ())
            },
        )
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
    ]
    schema = {"$ref": "#/components/schemas/Problem", "components": contract["components"]}
    return documented, jsonschema_rs.validator_for(schema)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem document of an answer, and check its status and code."""
    assert answer.headers["content-type"] == PROBLEM_JSON, answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code), document
    assert document["type"] == f"/problems/{code}"
    assert document["title"]
    assert document["detail"]
    assert len(document["trace_id"]) == 32
    return document


def fields(document: dict[str, Any]) -> list[str]:
    """Return the fields that a problem names."""
    return [error["field"] for error in document["errors"]]


def _sent(body: object) -> dict[str, Any]:
    if body is None:
        return {}
    return {"content": body} if isinstance(body, bytes | AsyncIterator) else {"json": body}


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
