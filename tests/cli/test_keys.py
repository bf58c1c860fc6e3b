"""`engage keys`: make, list, bind and revoke keys."""

import asyncio

import pytest
from click.testing import CliRunner, Result

from engage.api.http.api_keys import ApiKeyCache
from engage.cli import main
from engage.runtime.database import open_database
from engage.settings import Settings, to_environment
from engage.store.api_keys import ApiKey


@pytest.fixture
def environment(settings: Settings) -> dict[str, str | None]:
    return {**to_environment(settings), "COLUMNS": "200"}


async def run(environment: dict[str, str | None], *arguments: str) -> Result:
    """Run in a thread, because the command runs its own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main, ["keys", *arguments], env=environment)


async def stored_key(settings: Settings, key: str) -> ApiKey | None:
    db = open_database(settings.database_url, pool_size=1)
    try:
        return await ApiKeyCache(db).find(key)
    finally:
        await db.dispose()


async def scopes_of(settings: Settings, key: str) -> tuple[str, ...] | None:
    stored = await stored_key(settings, key)
    return None if stored is None else stored.scopes


async def programs_of(settings: Settings, key: str) -> tuple[str, ...] | None:
    stored = await stored_key(settings, key)
    assert stored is not None
    return stored.programs


async def test_a_key_is_shown_once_and_has_its_scope(
    settings: Settings, environment: dict[str, str | None]
) -> None:
    made = await run(environment, "create", "web shop", "--scope", "shop", "--all-programs")
    assert made.exit_code == 0, made.output
    key = made.output.strip()
    assert await scopes_of(settings, key) == ("shop",)
    listed = (await run(environment, "list")).output
    assert "web shop" in listed
    assert key.split("_")[1] in listed
    assert key not in listed
    assert key.split("_", 2)[2] not in listed


async def test_a_revoked_key_is_refused_and_stays_listed(
    settings: Settings, environment: dict[str, str | None]
) -> None:
    key = (
        await run(environment, "create", "till 7", "--scope", "shop", "--program", "eu-mi-points")
    ).output.strip()
    id_ = key.split("_")[1]
    assert (await run(environment, "revoke", id_)).exit_code == 0
    assert await scopes_of(settings, key) is None
    assert "till 7" in (await run(environment, "list")).output
    again = await run(environment, "revoke", id_)
    assert again.exit_code == 1
    assert "no key" in again.output


async def test_a_key_names_its_programs(settings: Settings, environment: dict[str, str | None]) -> None:
    named = ["--program", "eu-mi-points", "--program", "by-mi-bonus", "--program", "eu-mi-points"]
    key = (await run(environment, "create", "web shop", "--scope", "shop", *named)).output.strip()
    id_ = key.split("_")[1]
    assert await programs_of(settings, key) == ("eu-mi-points", "by-mi-bonus")
    assert "eu-mi-points, by-mi-bonus" in (await run(environment, "list")).output
    for arguments, programs in [
        (["--all-programs"], None),
        (["--program", "in-mi-tokens"], ("in-mi-tokens",)),
    ]:
        bound = await run(environment, "bind", id_, *arguments)
        assert bound.exit_code == 0, bound.output
        assert await programs_of(settings, key) == programs
    assert (await run(environment, "bind", "nobody", "--all-programs")).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "x", "--all-programs"],
        ["create", "x", "--scope", "all", "--all-programs"],
        ["create", "x", "--scope", "shop"],
        ["create", "x", "--scope", "shop", "--program", "p", "--all-programs"],
        ["create", "x", "--scope", "shop", "--program", "No Program"],
        ["bind", "x"],
        ["revoke"],
    ],
)
async def test_a_wrong_call_is_refused(environment: dict[str, str | None], arguments: list[str]) -> None:
    assert (await run(environment, *arguments)).exit_code == 2


async def test_an_unavailable_database_is_reported(environment: dict[str, str | None]) -> None:
    nowhere = environment | {"ENGAGE_DATABASE_URL": "postgresql+asyncpg://postgres@127.0.0.1:1/engage"}
    failed = await run(nowhere, "list")
    assert failed.exit_code == 1
    assert "does not answer" in failed.output


async def test_a_key_can_be_for_approvals_alone(
    settings: Settings, environment: dict[str, str | None]
) -> None:
    made = await run(environment, "create", "second pair", "--scope", "approve", "--all-programs")
    assert made.exit_code == 0, made.output
    assert await scopes_of(settings, made.output.strip()) == ("approve",)
