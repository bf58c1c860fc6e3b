"""Secrets are rotated while an API, a feed and a worker run as processes. None of them is started again."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from msgspec.structs import replace
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from engage.clock import machine_time
from engage.embedded import processes
from engage.embedded.child_process import ChildProcess, ProcessSpec, engage_command, start
from engage.flows.operations.keys import create_key, revoke_key
from engage.runtime.database import open_database
from engage.settings import Settings, to_environment, variable_of
from engage.store.members.persons import person_hashes
from tests.support.database import rows
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S, eventually
from tests.support.ports import server_port
from tests.support.rotation import Role, User, role_with_password, traffic, user_with_password, write_secret

HOST, PROGRAM = "127.0.0.1", "demo-store"
OLD, NEW = "an-old-secret-of-enough-letters", "a-new-secret-of-enough-letters"
SERVER_URLS = ("state_url", "queue_url", "topics_url")
COMPILED = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode")}


class Running(msgspec.Struct, frozen=True):
    """The processes, whose secrets are in files, and what the servers know of them. `plain` are settings that
    need no secret.
    """

    settings: Settings
    plain: Settings
    role: Role
    user: User
    children: Mapping[str, ChildProcess]
    client: httpx.AsyncClient
    keys: dict[str, Ed25519PrivateKey]

    def rotate(self, name: str, *values: str) -> None:
        write_secret(self.settings.secret_files[name], *values)

    async def wait_for(self, name: str, times: int) -> None:
        """Wait until every process has said that it has read a secret so many times."""
        await eventually(lambda: all(_reads(each, name) >= times for each in self.children.values()))

    def write_keys(self, *kids: str) -> None:
        """Replace the key set for members' tokens."""
        file = Path(self.settings.jwks)
        keys = [OKPAlgorithm.to_jwk(self.keys[kid].public_key(), as_dict=True) | {"kid": kid} for kid in kids]
        draft = file.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode({"keys": keys}))
        draft.replace(file)

    def member(self, member_id: str, kid: str = "first") -> dict[str, str]:
        """Return the headers of a member's requests."""
        now = int(machine_time().timestamp())
        said = {"iss": "engage", "aud": "engage", "program": PROGRAM, "iat": now, "exp": now + 600}
        token = jwt.encode(said | {"sub": member_id}, self.keys[kid], "EdDSA", headers={"kid": kid})
        return {"Authorization": f"Bearer {token}"}

    async def join(self, member_id: str, key: str, person: str = "") -> int:
        """Register a member with an API key of the shop; the status."""
        body = {
            "member_id": member_id,
            "program": PROGRAM,
            "country": "ES",
            "person_ref": person or member_id,
        }
        headers = {"Authorization": f"Bearer {key}"}
        return (await self.client.post("/v1/shop/members", json=body, headers=headers)).status_code

    async def benefits(self, member_id: str, key: str) -> int:
        """Ask for a member's benefits with an API key of the shop; the status."""
        path, headers = f"/v1/shop/members/{member_id}/benefits", {"Authorization": f"Bearer {key}"}
        return (await self.client.get(path, params={"program": PROGRAM}, headers=headers)).status_code

    async def new_key(self) -> str:
        db = open_database(self.plain.database_url, pool_size=1)
        try:
            return await create_key(db, name="shop", scopes=["shop"], programs=None)
        finally:
            await db.dispose()

    async def joined(self, member_id: str) -> None:
        assert await self.join(member_id, await self.new_key()) == 201

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


def _reads(child: ChildProcess, name: str) -> int:
    lines = map(_fields, child.spec.log.read_text().splitlines())
    wanted = ("a secret was read again", variable_of(name))
    return sum((line.get("event"), line.get("setting")) == wanted for line in lines)


def _fields(line: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
    return fields


@pytest.fixture(scope="module")
async def running(
    module_installed: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("processes")
    async with AsyncExitStack() as stack:
        valkey = await stack.enter_async_context(Redis.from_url(module_installed.state_url))
        role = await stack.enter_async_context(role_with_password(module_installed, OLD))
        user = await stack.enter_async_context(user_with_password(valkey, OLD))
        secrets = {name: user.url(getattr(module_installed, name), OLD) for name in SERVER_URLS}
        secrets |= {"database_url": role.url(OLD), "pepper": OLD}
        for name, value in secrets.items():
            write_secret(folder / name, value)
        settings = replace(
            module_installed,
            **secrets,
            secret_files={name: folder / name for name in secrets},
            jwks=str(folder / "keys.json"),
            api_port=server_port(),
            feed_port=server_port(),
            limit_member="100000/1",
            limit_network="100000/1",
        )
        keys = {kid: Ed25519PrivateKey.generate() for kid in ("first", "second")}
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{HOST}:{settings.api_port}", timeout=WITHIN_S)
        )
        children: dict[str, ChildProcess] = {}
        running = Running(settings, module_installed, role, user, children, client, keys)
        running.write_keys("first")
        for name in (processes.API, processes.FEED, processes.WORKER):
            children[name] = await start(_spec(name, folder, settings))
            stack.push_async_callback(children[name].stop)
        for child in children.values():
            await child.wait_until_ready()
        yield running
        assert not any(child.has_ended for child in children.values())


def _spec(name: str, folder: Path, settings: Settings) -> ProcessSpec:
    ports = {processes.API: settings.api_port, processes.FEED: settings.feed_port}

    async def is_live() -> bool:
        return (await processes.get_from(HOST, ports[name], processes.LIVE))[0] == 200

    return ProcessSpec(
        name=name,
        command=engage_command(name),
        log=folder / f"{name}.log",
        directory=folder,
        environment=to_environment(settings) | COMPILED,
        ready=is_live if name in ports else None,
        liveness=folder,
    )


class Screen:
    """The messages that an open screen gets."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def points(self, least: int) -> None:
        """Read until the balance has so many points, pending or active."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                balance = json.loads(await self.connection.recv())["balance"]
                if balance["pending"] + balance["active"] >= least:
                    return


@asynccontextmanager
async def screen(running: Running, headers: dict[str, str] | None = None) -> AsyncIterator[Screen]:
    url = f"ws://{HOST}:{running.settings.feed_port}/"
    async with connect(url, additional_headers=headers, open_timeout=WITHIN_S) as connection:
        yield Screen(connection)


async def test_passwords_of_postgresql_and_valkey_are_rotated(running: Running) -> None:
    await running.joined("ana")
    ana = running.member("ana")

    async def look() -> None:
        assert await running.status(ana) == 200

    async with screen(running, ana) as shown:
        await shown.points(50)
        async with traffic(look) as calls:
            await running.user.allow(NEW)
            for name in SERVER_URLS:
                running.rotate(name, running.user.url(getattr(running.plain, name), NEW))
            running.rotate("database_url", running.role.url(NEW), running.role.url(OLD))
            for name in (*SERVER_URLS, "database_url"):
                await running.wait_for(name, 1)
            await running.user.refuse(OLD)
            await running.role.set_password(NEW)
            await calls.goes_on()
            running.rotate("database_url", running.role.url(NEW))
        # From here on nothing can be done with the old passwords.
        await running.role.disconnect()
        await running.user.disconnect()
        reviewed = await until_other_than(503, lambda: running.review(ana, "r-1"))
        assert reviewed in (202, 409)
        # 50 for joining and 20 for the review by the API, 5 for a challenge and 10 for another by the worker.
        await shown.points(85)
    async with screen(running, ana) as reopened:
        await reopened.points(85)


async def test_keys_of_tokens_are_rotated(running: Running) -> None:
    await running.joined("bea")
    old, new = running.member("bea"), running.member("bea", "second")
    running.write_keys("first", "second")
    assert [await running.status(each) for each in (new, old)] == [200, 200]
    ticket = (await running.client.post("/v1/feed/tickets", headers=old)).json()["ticket"]
    async with screen(running) as by_ticket, screen(running, old) as by_old, screen(running, new) as by_new:
        await by_ticket.connection.send(json.dumps({"type": "auth", "ticket": ticket}))
        for shown in (by_ticket, by_old, by_new):
            await shown.points(50)
        running.write_keys("second")
        for ended in (by_ticket.connection, by_old.connection):
            await ended.wait_closed()
            assert (ended.close_code, ended.close_reason) == (3000, "key withdrawn")
        assert await until_other_than(200, lambda: running.status(old)) == 401
        assert await running.status(new) == 200
        assert await running.review(new, "r-2") == 202
        await by_new.points(70)
    async with screen(running, old) as refused:
        await refused.connection.wait_closed()
        assert (refused.connection.close_code, refused.connection.close_reason) == (3000, "bad credentials")
    running.write_keys("first", "second")


async def test_api_keys_are_rotated(running: Running) -> None:
    old, new = await running.new_key(), await running.new_key()
    assert await running.join("carla", old) == 201
    assert [await running.benefits("carla", key) for key in (old, new)] == [200, 200]
    db = open_database(running.plain.database_url, pool_size=1)
    assert await revoke_key(db, old.split("_")[1])
    await db.dispose()
    assert await until_other_than(200, lambda: running.benefits("carla", old)) == 401
    assert await running.benefits("carla", new) == 200


async def test_the_pepper_is_rotated(running: Running) -> None:
    key = await running.new_key()
    assert await running.join("dora", key, "Dora") == 201
    for times, peppers in enumerate([(OLD, NEW), (NEW, OLD)], 1):
        running.rotate("pepper", *peppers)
        await running.wait_for("pepper", times)
        assert await running.join(f"dora-{times}", key, "Dora") == 409
    assert await running.join("eva", key, "Eva") == 201
    db = open_database(running.plain.database_url, pool_size=1)
    ((stored,),) = await rows(db, "SELECT person_hash FROM members WHERE member_id = 'eva'")
    await db.dispose()
    assert stored == person_hashes("Eva", program_id=PROGRAM, peppers=[NEW])[0]
