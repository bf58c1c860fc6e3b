"""Secrets are rotated while an API, a feed and a worker run as processes. None of them is started again."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import msgspec
import pytest
from joserfc.jwk import ECKey
from msgspec.structs import replace
from redis.asyncio import Redis

from engage.clock import machine_time
from engage.console.cookies import PENDING
from engage.embedded import processes
from engage.flows.operations.keys import revoke_key
from engage.flows.operators.accounts import create_operator
from engage.flows.programs.publish import publish
from engage.runtime.database import open_database
from engage.settings import Settings
from engage.store.members.persons import person_hashes
from tests.console.identity_provider import CLIENT, IdentityProvider, identity_provider
from tests.payouts.momo_server import SUBSCRIPTION, Momo, momo
from tests.support.clock import running_clock
from tests.support.database import rows
from tests.support.eventually import eventually
from tests.support.key_set_server import TRUSTED, key_set_server
from tests.support.ports import server_port
from tests.support.programs import rule
from tests.support.rotating_processes import (
    HOST,
    PROGRAM,
    Running,
    logged,
    processes_with,
    screen,
    until_other_than,
)
from tests.support.rotation import Role, User, role_with_password, traffic, user_with_password, write_secret
from tests.support.withdrawals import OPEN
from tests.support.withdrawals import PROGRAM as MARKET

OLD, NEW = "an-old-secret-of-enough-letters", "a-new-secret-of-enough-letters"
SERVER_URLS = ("state_url", "queue_url", "topics_url")

AT_ONCE = 'type = "after", delay = "PT0S"'
MARKET_DOCUMENT = f"""
version = "first"
in_force_from = 2020-01-01
id = "{MARKET}"
title = "A market with withdrawals"
eligibility = {{ one_account_a_person = false }}
expiry = {{ type = "never" }}
worth = {{ points = 1, minor = 100 }}

[countries]
BF = {{ zone = "Africa/Ouagadougou", currency = "XOF" }}
{rule("registration", 'activity = "registration"', 'type = "once"', 100, due=AT_ONCE)}
{OPEN}
"""


class Servers(msgspec.Struct, frozen=True):
    """The servers that know the secrets."""

    role: Role
    user: User
    momo: Momo
    provider: IdentityProvider


@pytest.fixture(scope="module")
async def servers_with_secrets(module_installed: Settings) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        valkey = await stack.enter_async_context(Redis.from_url(module_installed.state_url))
        role = await stack.enter_async_context(role_with_password(module_installed, OLD))
        user = await stack.enter_async_context(user_with_password(valkey, OLD))
        payouts = await stack.enter_async_context(momo())
        payouts.keys = {OLD}
        provider = await stack.enter_async_context(identity_provider())
        provider.secrets = {OLD}
        yield Servers(role, user, payouts, provider)


@pytest.fixture(scope="module")
async def running(
    module_installed: Settings, servers_with_secrets: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    await publish_market(module_installed)
    folder, servers, api_port = tmp_path_factory.mktemp("processes"), servers_with_secrets, server_port()
    secrets = {name: servers.user.url(getattr(module_installed, name), OLD) for name in SERVER_URLS}
    secrets |= {"database_url": servers.role.url(OLD), "pepper": OLD}
    secrets |= {"momo_key": OLD, "momo_subscription_key": SUBSCRIPTION, "oidc_client_secret": OLD}
    for name, value in secrets.items():
        write_secret(folder / name, value)
    changed = secrets | {
        "oidc_issuer": servers.provider.url,
        "oidc_client_id": CLIENT,
        "oidc_redirect_url": f"http://{HOST}:{api_port}/console/provider/answer",
        "secret_files": {name: folder / name for name in secrets},
        "jwks": str(folder / "keys.json"),
        "api_port": api_port,
        "feed_port": server_port(),
        "limit_member": "100000/1",
        "limit_network": "100000/1",
    }
    settings = replace(servers.momo.settings(module_installed), **changed)

    def publish_keys(keys: list[dict[str, object]]) -> None:
        write_secret(folder / "keys.json", json.dumps({"keys": keys}))

    names = (processes.API, processes.FEED, processes.WORKER)
    async with processes_with(settings, module_installed, names, folder, publish_keys) as started:
        yield started


@pytest.fixture(scope="module")
async def running_with_url(
    module_installed: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """An API and a feed that get their key set from a server, whose certificate they trust."""
    folder = tmp_path_factory.mktemp("with-url")
    with key_set_server(folder) as server:
        settings = replace(
            module_installed,
            jwks=server.url,
            jwks_max_age_s=1,
            pepper=OLD,
            api_port=server_port(),
            feed_port=server_port(),
            limit_member="100000/1",
        )

        def publish_keys(keys: list[dict[str, object]]) -> None:
            server.keys = keys

        trusting = {TRUSTED: str(server.certificate)}
        names = (processes.API, processes.FEED)
        async with processes_with(
            settings, module_installed, names, folder, publish_keys, trusting
        ) as started:
            yield started


@pytest.fixture(params=["file", "url"])
def with_keys(request: pytest.FixtureRequest) -> Running:
    """Processes whose key set for tokens is in a file, or at a URL."""
    running: Running = request.getfixturevalue("running" if request.param == "file" else "running_with_url")
    return running


async def publish_market(settings: Settings) -> None:
    db = open_database(settings.database_url, pool_size=1)
    await publish(db, MARKET_DOCUMENT, source="market", operator="test", clock=running_clock())
    await db.dispose()


async def test_passwords_of_postgresql_and_valkey_are_rotated(
    running: Running, servers_with_secrets: Servers
) -> None:
    ana = running.member(await running.joined())
    role, user = servers_with_secrets.role, servers_with_secrets.user

    async def look() -> None:
        assert await running.status(ana) == 200

    async with screen(running, ana) as shown:
        await shown.points(50)
        async with traffic(look) as calls:
            await user.allow(NEW)
            for name in SERVER_URLS:
                running.rotate(name, user.url(getattr(running.plain, name), NEW))
            running.rotate("database_url", role.url(NEW), role.url(OLD))
            for name in (*SERVER_URLS, "database_url"):
                await running.wait_for(name, 1)
            await user.refuse(OLD)
            await role.set_password(NEW)
            await calls.goes_on()
            running.rotate("database_url", role.url(NEW))
        # From here on nothing can be done with the old passwords.
        await role.disconnect()
        await user.disconnect()
        reviewed = await until_other_than(503, lambda: running.review(ana, "r-1"))
        assert reviewed in (202, 409)
        # 50 for joining and 20 for the review by the API, 5 for a challenge and 10 for another by the worker.
        await shown.points(85)
    async with screen(running, ana) as reopened:
        await reopened.points(85)


async def test_keys_of_tokens_are_rotated(with_keys: Running) -> None:
    running, member_id = with_keys, await with_keys.joined()
    old, new = running.member(member_id), running.member(member_id, "second")
    running.publish_keys("first", "second")
    # At the first try.
    assert [await running.status(each) for each in (new, old)] == [200, 200]
    ticket = (await running.client.post("/v1/feed/tickets", headers=old)).json()["ticket"]
    async with screen(running) as by_ticket, screen(running, old) as by_old, screen(running, new) as by_new:
        await by_ticket.connection.send(json.dumps({"type": "auth", "ticket": ticket}))
        for shown in (by_ticket, by_old, by_new):
            await shown.points(50)
        running.publish_keys("second")
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
    running.publish_keys("first", "second")


async def test_api_keys_are_rotated(running: Running) -> None:
    old, new = await running.new_key(), await running.new_key()
    assert await running.join("carla", old) == 201
    assert [await running.benefits("carla", key) for key in (old, new)] == [200, 200]
    async with running.database() as db:
        assert await revoke_key(db, old.split("_")[1])
    assert await until_other_than(200, lambda: running.benefits("carla", old)) == 401
    assert await running.benefits("carla", new) == 200


async def test_the_pepper_is_rotated(running: Running) -> None:
    key = await running.new_key()
    assert await running.join("dora", key, person_ref="Dora") == 201
    for times, peppers in enumerate([(OLD, NEW), (NEW, OLD)], 1):
        running.rotate("pepper", *peppers)
        await running.wait_for("pepper", times)
        assert await running.join(f"dora-{times}", key, person_ref="Dora") == 409
    assert await running.join("eva", key, person_ref="Eva") == 201
    async with running.database() as db:
        ((stored,),) = await rows(db, "SELECT person_hash FROM members WHERE member_id = 'eva'")
    assert stored == person_hashes("Eva", program_id=PROGRAM, peppers=[NEW])[0]


async def test_keys_of_mobile_money_are_rotated(running: Running, servers_with_secrets: Servers) -> None:
    """None of the worker's payouts is refused."""
    server = servers_with_secrets.momo

    async def pay_out() -> None:
        before, phone = len(server.transfers), f"+22670{len(server.transfers):06}"
        member_id = await running.joined(program=MARKET, country="BF", phone=phone)
        member = running.member(member_id, program=MARKET)
        async with screen(running, member) as shown:
            await shown.points(100, "active")
        asked = {"points": 60, "method": "mobile_money"}
        answer = await running.client.post(
            "/v1/withdrawals", json=asked, headers=member | {"Idempotency-Key": uuid4().hex}
        )
        assert answer.status_code == 202, answer.text
        await eventually(lambda: len(server.transfers) > before)

    await pay_out()
    running.rotate("momo_key", NEW, OLD)
    running.rotate("momo_subscription_key", "second", SUBSCRIPTION)
    for name in ("momo_key", "momo_subscription_key"):
        await running.wait_for(name, 1)
    await pay_out()
    server.keys, server.subscriptions, server.revoked = {NEW}, {"second"}, set(server.tokens)
    running.rotate("momo_key", NEW)
    running.rotate("momo_subscription_key", "second")
    await pay_out()
    outcomes = logged(running.children[processes.WORKER], "payout outcome")
    assert {line["outcome"] for line in outcomes} == {"Accepted"}


async def test_the_secret_and_the_keys_of_the_console_s_provider_are_rotated(
    running: Running, servers_with_secrets: Servers
) -> None:
    provider = servers_with_secrets.provider
    async with running.database() as db:
        await create_operator(db, "ana@shop.example", "viewer", None, by="test")

    async def sign_in() -> int:
        """Go to the provider and come back; the status. The client keeps no cookies that need TLS."""
        gone = await running.client.get("/console/provider/go?next=/console/account")
        query = provider.answer_to(
            gone.headers["location"], "ana@shop.example", now=int(machine_time().timestamp())
        )
        kept = {"Cookie": f"{PENDING}={gone.cookies[PENDING]}"}
        return (await running.client.get(f"/console/provider/answer?{query}", headers=kept)).status_code

    assert await sign_in() == 303
    running.rotate("oidc_client_secret", NEW, OLD)
    await running.wait_for("oidc_client_secret", 1)
    assert await sign_in() == 303
    provider.secrets = {NEW}
    assert await sign_in() == 303
    running.rotate("oidc_client_secret", NEW)
    await running.wait_for("oidc_client_secret", 2)
    assert await sign_in() == 303

    new = ECKey.generate_key("P-256", {"kid": "k2", "use": "sig", "alg": "ES256"})
    provider.keys = [provider.key, new]
    assert await sign_in() == 303
    provider.signing_key = new
    assert await sign_in() == 303
    provider.keys = [new]
    assert await sign_in() == 303
    provider.signing_key = provider.key
    assert await sign_in() == 502, "the old key was taken out"
