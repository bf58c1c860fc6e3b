"""`engage operators`: create, list and reset operators of the console."""

import asyncio

import pytest
from click.testing import CliRunner, Result

from engage.cli import main
from engage.flows.operators.accounts import list_operators
from engage.flows.operators.password_hashes import is_right
from engage.runtime.database import open_database
from engage.settings import Settings, to_environment
from engage.store.operators.operators import Operator


@pytest.fixture
def environment(settings: Settings) -> dict[str, str | None]:
    return {**to_environment(settings), "COLUMNS": "200"}


async def run(environment: dict[str, str | None], *arguments: str) -> Result:
    """Run in a thread, because the command runs its own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main, ["operators", *arguments], env=environment)


async def stored(settings: Settings) -> list[Operator]:
    db = open_database(settings.database_url, pool_size=1)
    try:
        return await list_operators(db)
    finally:
        await db.dispose()


async def test_a_password_is_shown_once_and_stored_as_a_hash(
    settings: Settings, environment: dict[str, str | None]
) -> None:
    made = await run(
        environment, "create", "Ana@Shop.example", "--role", "marketer", "--program", "eu-mi-points"
    )
    assert made.exit_code == 0, made.output
    [operator] = await stored(settings)
    assert (operator.email, operator.role, operator.programs) == (
        "ana@shop.example",
        "marketer",
        ("eu-mi-points",),
    )
    assert operator.has_to_change
    assert operator.password_hash is not None
    assert operator.password_hash.startswith("$argon2id$")
    assert await is_right(made.output.strip(), operator.password_hash)
    listed = await run(environment, "list")
    assert "ana@shop.example" in listed.output
    assert made.output.strip() not in listed.output


async def test_a_reset_replaces_the_password(settings: Settings, environment: dict[str, str | None]) -> None:
    first = await run(environment, "create", "ana@shop.example", "--role", "admin", "--all-programs")
    second = await run(environment, "reset", "ana@shop.example")
    assert second.exit_code == 0, second.output
    [operator] = await stored(settings)
    assert not await is_right(first.output.strip(), operator.password_hash)
    assert await is_right(second.output.strip(), operator.password_hash)


async def test_mistakes_are_said_in_a_line(environment: dict[str, str | None]) -> None:
    await run(environment, "create", "ana@shop.example", "--role", "admin", "--all-programs")
    for arguments, message in (
        (("create", "ana@shop.example", "--role", "admin", "--all-programs"), "there is an operator"),
        (("create", "nobody", "--role", "admin", "--all-programs"), "is no e-mail address"),
        (("create", "ben@shop.example", "--role", "admin"), "--all-programs"),
        (("reset", "ben@shop.example"), "there is no operator"),
    ):
        failed = await run(environment, *arguments)
        assert failed.exit_code != 0
        assert message in failed.output
