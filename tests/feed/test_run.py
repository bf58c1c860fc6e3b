"""`engage feed` as it runs in production: a separate process with a real database."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec.structs import replace
from websockets.asyncio.client import connect

from engage import sandbox_secrets
from engage.clock import machine_time
from engage.domain.activity import FuelTap
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.install import install
from engage.runtime.services import Services, open_services
from engage.settings import Settings, to_environment
from engage.tokens.signing import sign
from tests.feed.feeds import PROGRAM, identity, message_of
from tests.support.clock import running_clock
from tests.support.command_line import engage
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.ports import server_port

HOST = "127.0.0.1"


@pytest.fixture
async def installed(settings: Settings) -> Settings:
    await install(settings)
    return replace(settings, feed_port=server_port())


@pytest.fixture
async def services(installed: Settings) -> AsyncIterator[Services]:
    async with open_services(installed, running_clock()) as services:
        await services.programs.refresh(services.db)
        yield services


@asynccontextmanager
async def engage_feed(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await engage("feed", cwd=Path.cwd(), **to_environment(settings))
    try:
        await ready(settings)
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def ready(settings: Settings) -> None:
    async with asyncio.timeout(WITHIN_S), httpx.AsyncClient() as client:
        while True:
            try:
                answer = await client.get(f"http://{HOST}:{settings.feed_port}/health/ready")
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 200:
                return
            await asyncio.sleep(LOOK_AGAIN_S)


def token_of(settings: Settings, member_id: str) -> str:
    assert settings.sandbox is not None
    return sign(sandbox_secrets.read(Path(settings.sandbox)), PROGRAM, member_id, timedelta(hours=1))


async def test_a_tap_is_pushed_to_the_screen(installed: Settings, services: Services) -> None:
    registration = MemberRegistration(member_id="m1", program=PROGRAM, country="ES", person_ref="p1")
    await register_member(services, registration)
    await services.post_commit.drain()
    headers = {"Authorization": f"Bearer {token_of(installed, 'm1')}"}
    url = f"ws://{HOST}:{installed.feed_port}/"
    async with engage_feed(installed) as running, asyncio.timeout(WITHIN_S * 2):
        async with connect(url, additional_headers=headers) as screen, connect(url) as browser:
            ticket, _ = await services.topics.issue_ticket(identity("m1"))
            await browser.send(f'{{"type":"auth","ticket":"{ticket}"}}')
            for client in (screen, browser):
                first = message_of(await client.recv())
                assert (first["type"], first["balance"]["pending"]) == ("snapshot", 50)
            await record(services, [MemberActivity(PROGRAM, "m1", FuelTap(), services.clock.now())])
            for client in (screen, browser):
                then = message_of(await client.recv())
                assert (then["type"], then["balance"]["pending"]) == ("balance", 52)
                assert then["seq"] > first["seq"]
            running.send_signal(signal.SIGTERM)
            await screen.wait_closed()
            await browser.wait_closed()
            assert (screen.close_code, browser.close_code) == (1012, 1012)
        assert await running.wait() == 0


async def test_a_connection_ends_when_its_key_leaves_the_key_set(
    installed: Settings, services: Services, tmp_path: Path
) -> None:
    registration = MemberRegistration(member_id="m1", program=PROGRAM, country="ES", person_ref="p1")
    await register_member(services, registration)
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    file = write_keys(tmp_path / "rotated.json", old=old, new=new)
    settings = replace(installed, jwks=str(file))
    url = f"ws://{HOST}:{installed.feed_port}/"
    async with engage_feed(settings), asyncio.timeout(WITHIN_S * 2), AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(connect(url, additional_headers=bearer(key, kid)))
            for key, kid in ((old, "old"), (new, "new"))
        ]
        for screen in (first, second):
            assert message_of(await screen.recv())["type"] == "snapshot"
        write_keys(file, new=new)
        await first.wait_closed()
        assert (first.close_code, first.close_reason) == (3000, "key withdrawn")
        await record(services, [MemberActivity(PROGRAM, "m1", FuelTap(), services.clock.now())])
        assert message_of(await second.recv())["balance"]["pending"] == 52


def write_keys(file: Path, **keys: ec.EllipticCurvePrivateKey) -> Path:
    """Replace a key set atomically, as a key rotation must."""
    public = [ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} for kid, key in keys.items()]
    draft = file.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode({"keys": public}))
    return draft.replace(file)


def bearer(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, str]:
    now = int(machine_time().timestamp())
    said = {"iss": "engage", "aud": "engage", "sub": "m1", "program": PROGRAM, "iat": now, "exp": now + 600}
    return {"Authorization": f"Bearer {jwt.encode(said, key, 'ES256', headers={'kid': kid})}"}


async def test_a_merged_member_reconnects_as_the_survivor_and_an_erased_one_is_refused(
    installed: Settings, services: Services
) -> None:
    for member_id in ("m1", "m2"):
        await register_member(
            services,
            MemberRegistration(member_id=member_id, program=PROGRAM, country="ES", person_ref=member_id),
        )
    await services.post_commit.drain()
    headers = {"Authorization": f"Bearer {token_of(installed, 'm1')}"}
    url = f"ws://{HOST}:{installed.feed_port}/"
    async with engage_feed(installed), asyncio.timeout(WITHIN_S * 3):
        async with connect(url, additional_headers=headers) as screen:
            assert message_of(await screen.recv())["balance"]["pending"] == 50
            await merge_members(services, PROGRAM, "m1", into="m2", reason="one person", operator="key-1")
            await screen.wait_closed()
            assert screen.close_code == 1012
        async with connect(url, additional_headers=headers) as screen:
            assert message_of(await screen.recv())["balance"]["pending"] == 50, "joining pays once"
            await record(services, [MemberActivity(PROGRAM, "m2", FuelTap(), services.clock.now())])
            assert message_of(await screen.recv())["balance"]["pending"] == 52
            await erase_member(services, PROGRAM, "m2", operator="key-1")
            await screen.wait_closed()
            assert screen.close_code == 1012
        async with connect(url, additional_headers=headers) as screen:
            await screen.wait_closed()
            assert screen.close_code == 3000


async def test_an_invalid_token_and_one_of_an_unknown_member_are_refused(
    installed: Settings, services: Services
) -> None:
    url = f"ws://{HOST}:{installed.feed_port}/"
    async with engage_feed(installed), asyncio.timeout(WITHIN_S * 2):
        for token in (token_of(installed, "nobody"), token_of(installed, "m1")[:-5] + "AAAAA"):
            async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as client:
                await client.wait_closed()
                assert client.close_code == 3000
