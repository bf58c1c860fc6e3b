"""An API, a feed and a worker as processes whose secrets tests rotate, and what clients see of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from sqlalchemy.ext.asyncio import AsyncEngine
from websockets.asyncio.client import ClientConnection, connect

from engage.clock import machine_time
from engage.embedded import processes
from engage.embedded.child_process import ChildProcess, ProcessSpec, engage_command, start
from engage.flows.operations.keys import create_key
from engage.runtime.database import open_database
from engage.settings import Settings, to_environment, variable_of
from engage.store.api_keys import Scope
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S, eventually
from tests.support.rotation import write_secret

HOST, PROGRAM = "127.0.0.1", "demo-store"
COMPILED = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode")}


class Running(msgspec.Struct, frozen=True):
    """The processes, whose secrets are in files. `plain` are settings that need no secret; `publish` replaces
    the key set for members' tokens.
    """

    settings: Settings
    plain: Settings
    children: Mapping[str, ChildProcess]
    client: httpx.AsyncClient
    keys: Mapping[str, Ed25519PrivateKey]
    publish: Callable[[list[dict[str, Any]]], None]

    def rotate(self, name: str, *values: str) -> None:
        write_secret(self.settings.secret_files[name], *values)

    async def wait_for(self, name: str, times: int) -> None:
        """Wait until every process has said that it has read a secret so many times."""
        await eventually(lambda: all(_reads(each, name) >= times for each in self.children.values()))

    def publish_keys(self, *kids: str) -> None:
        """Replace the key set for members' tokens."""
        publish_keys(self.publish, {kid: self.keys[kid] for kid in kids})

    def member(self, member_id: str, kid: str = "first", program: str = PROGRAM) -> dict[str, str]:
        """Return the headers of a member's requests."""
        now = int(machine_time().timestamp())
        said = {"iss": "engage", "aud": "engage", "program": program, "iat": now, "exp": now + 600}
        token = jwt.encode(said | {"sub": member_id}, self.keys[kid], "EdDSA", headers={"kid": kid})
        return {"Authorization": f"Bearer {token}"}

    async def join(self, member_id: str, key: str, **fields: str) -> int:
        """Register a member with an API key of the shop; the status."""
        body = {"member_id": member_id, "program": PROGRAM, "country": "ES", "person_ref": member_id} | fields
        headers = {"Authorization": f"Bearer {key}"}
        return (await self.client.post("/v1/shop/members", json=body, headers=headers)).status_code

    async def benefits(self, member_id: str, key: str) -> int:
        """Ask for a member's benefits with an API key of the shop; the status."""
        path, headers = f"/v1/shop/members/{member_id}/benefits", {"Authorization": f"Bearer {key}"}
        return (await self.client.get(path, params={"program": PROGRAM}, headers=headers)).status_code

    @asynccontextmanager
    async def database(self) -> AsyncIterator[AsyncEngine]:
        db = open_database(self.plain.database_url, pool_size=1)
        try:
            yield db
        finally:
            await db.dispose()

    async def new_key(self, *scopes: Scope) -> str:
        """Create an API key, of the shop if nothing else is said."""
        async with self.database() as db:
            return await create_key(db, name="test", scopes=list(scopes or ("shop",)), programs=None)

    async def joined(self, **fields: str) -> str:
        """Register a new member. An answer that does not come in time is asked for again."""
        member_id, key = f"m-{uuid4().hex}", await self.new_key()
        assert await until_other_than(503, lambda: self.join(member_id, key, **fields)) in (201, 409)
        return member_id

    async def status(self, headers: dict[str, str]) -> int:
        return (await self.client.get("/v1/me", headers=headers)).status_code

    async def review(self, headers: dict[str, str], review_id: str) -> int:
        body = {"product_id": "band", "review_id": review_id}
        return (await self.client.post("/v1/reviews", json=body, headers=headers)).status_code


async def until_other_than(status: int, send: Callable[[], Awaitable[int]]) -> int:
    """Send until the status is another one, and return that."""
    async with asyncio.timeout(WITHIN_S):
        while (found := await send()) == status:
            await asyncio.sleep(LOOK_AGAIN_S)
    return found


class Screen:
    """The messages that an open screen gets."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def points(self, least: int, *states: str) -> None:
        """Read until the balance has so many points: pending or active ones, or those of `states`."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                balance = json.loads(await self.connection.recv())["balance"]
                if sum(balance[state] for state in states or ("pending", "active")) >= least:
                    return


@asynccontextmanager
async def screen(running: Running, headers: dict[str, str] | None = None) -> AsyncIterator[Screen]:
    url = f"ws://{HOST}:{running.settings.feed_port}/"
    async with connect(url, additional_headers=headers, open_timeout=WITHIN_S) as connection:
        yield Screen(connection)


@asynccontextmanager
async def processes_with(
    settings: Settings,
    plain: Settings,
    names: tuple[str, ...],
    folder: Path,
    publish: Callable[[list[dict[str, Any]]], None],
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Running]:
    """Start processes that know the first of two signing keys. None of them may end before the block does."""
    keys = {kid: Ed25519PrivateKey.generate() for kid in ("first", "second")}
    publish_keys(publish, {"first": keys["first"]})
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{HOST}:{settings.api_port}", timeout=WITHIN_S)
        )
        children: dict[str, ChildProcess] = {}
        for name in names:
            children[name] = await start(_spec(name, folder, settings, environment or {}))
            stack.push_async_callback(children[name].stop)
        for child in children.values():
            await child.wait_until_ready()
        yield Running(settings, plain, children, client, keys, publish)
        assert not any(child.has_ended for child in children.values())


def publish_keys(
    publish: Callable[[list[dict[str, Any]]], None], keys: Mapping[str, Ed25519PrivateKey]
) -> None:
    publish([OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} for kid, key in keys.items()])


def _spec(name: str, folder: Path, settings: Settings, environment: Mapping[str, str]) -> ProcessSpec:
    ports = {processes.API: settings.api_port, processes.FEED: settings.feed_port}

    async def is_live() -> bool:
        return (await processes.get_from(HOST, ports[name], processes.LIVE))[0] == 200

    return ProcessSpec(
        name=name,
        command=engage_command(name),
        log=folder / f"{name}.log",
        directory=folder,
        environment=to_environment(settings) | COMPILED | dict(environment),
        ready=is_live if name in ports else None,
        liveness=folder,
    )


def _reads(child: ChildProcess, name: str) -> int:
    return sum(line["setting"] == variable_of(name) for line in logged(child, "a secret was read again"))


def logged(child: ChildProcess, event: str) -> list[dict[str, Any]]:
    """Return the lines that a process has logged of an event."""
    lines = map(_fields, child.spec.log.read_text().splitlines())
    return [line for line in lines if line.get("event") == event]


def _fields(line: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
    return fields
