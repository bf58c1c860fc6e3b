"""A publication that fails after a commit does not stop the others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from engage.gate.claims import SlotRequest
from engage.gate.client import Gate
from engage.runtime.post_commit import PostCommit
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.signals.doorbell import Doorbell
from tests.support.clock import NOON


class FailingGate:
    async def confirm(self, _granted: Sequence[tuple[SlotRequest, int]]) -> None:
        raise ZeroDivisionError


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


def made_of(services: Services, gate: FailingGate, bell: RecordingDoorbell) -> PostCommit:
    return PostCommit(services.db, cast(Gate, gate), services.topics, cast(Doorbell, bell))
