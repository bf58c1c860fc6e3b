"""A publication that fails after a commit does not stop the others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

from msgspec.structs import replace

from engage import tracing
from engage.domain.accounts.balance import Balance
from engage.gate.claims import SlotRequest
from engage.gate.client import Gate
from engage.ledger.balances import BalanceChange, OutboxRow
from engage.runtime.post_commit import PostCommit
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.signals.doorbell import Doorbell
from engage.signals.traces import Carried
from tests.support.activities import PROGRAM
from tests.support.clock import NOON


class FailingGate:
    async def confirm(self, _granted: Sequence[tuple[SlotRequest, int]]) -> None:
        raise ZeroDivisionError


class IdleGate:
    async def confirm(self, _granted: Sequence[tuple[SlotRequest, int]]) -> None:
        """Confirm nothing."""


class RecordingDoorbell:
    def __init__(self) -> None:
        self.rung: set[datetime] = set()

    async def ring(self, due: set[datetime]) -> None:
        self.rung |= due


async def test_a_bug_in_one_step_does_not_stop_the_others(settings: Settings) -> None:
    bell = RecordingDoorbell()
    async with open_services(settings) as services:
        post_commit = made_of(services, FailingGate(), bell)
        for _ in range(2):
            post_commit.add(due=[NOON], confirmed=[cast(Any, (None, 1))])
            await post_commit.drain()
            assert bell.rung == {NOON}
            bell.rung.clear()


async def test_traces_that_cannot_be_kept_or_taken_stop_nothing(settings: Settings) -> None:
    bell = RecordingDoorbell()
    nowhere = "http://127.0.0.1:1/v1/traces"
    tracing.start(replace(settings, traces_url=nowhere, traces_ratio=1.0), "worker")
    try:
        async with open_services(replace(settings, topics_url="redis://127.0.0.1:1")) as services:
            post_commit = made_of(services, IdleGate(), bell)
            post_commit.carry([Carried(PROGRAM, "m", services.clock.now(), "trace")])
            change = BalanceChange(PROGRAM, "m", Balance(active=1, seq=1))
            post_commit.add([OutboxRow(uuid4(), "active", NOON, [change])], due=[NOON])
            await post_commit.drain()
            assert bell.rung == {NOON}
            assert post_commit.failures.keys() == {"carry traces", "publish"}
    finally:
        tracing.close()


def made_of(services: Services, gate: FailingGate | IdleGate, bell: RecordingDoorbell) -> PostCommit:
    return PostCommit(services.db, cast(Gate, gate), services.topics, cast(Doorbell, bell))
