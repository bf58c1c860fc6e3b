"""Prepare an installation for the members: their program, and the time."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Final

from engage.torture.members.actions import PROGRAM, Action, Delivery
from engage.torture.members.client import Client
from engage.torture.members.sandbox_time import SandboxTime

DOCUMENT: Final = Path(__file__).with_name("program.toml")
# Versions are in force in every process within two seconds.
SPREADS_S: Final = 2.5

_PATIENTLY = Delivery(with_key=False, at_once=False, again_later=False, is_patient=True)


async def publish_program(client: Client) -> None:
    """The same document again does nothing."""
    await client.deliver(
        Action(
            operation="publishProgramVersion",
            method="POST",
            path=f"/v1/admin/programs/{PROGRAM}/versions",
            body={"document": DOCUMENT.read_text()},
            caller="admin",
        ),
        _PATIENTLY,
    )
    await asyncio.sleep(SPREADS_S)


async def read_time(client: Client) -> SandboxTime:
    """Raises RuntimeError if no API answers."""
    action = Action(operation="getSandbox", method="GET", path="/v1/sandbox", caller="anyone")
    answer, _ = await client.deliver(action, _PATIENTLY)
    if answer is None or not answer.is_done:
        raise RuntimeError("no API answers")
    return SandboxTime(datetime.fromisoformat(answer.body["now"]), answer.at)
