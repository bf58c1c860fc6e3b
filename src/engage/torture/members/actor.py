"""One member, with the shop's requests about them: does one thing after the other until the end."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Final

from engage.torture.members.actions import PROGRAM, Action, Delivery, draw_delivery
from engage.torture.members.choices import earning
from engage.torture.members.choose import next_action
from engage.torture.members.client import Client
from engage.torture.members.knowledge import Knowledge
from engage.torture.members.learn import learn
from engage.torture.members.sandbox_time import SandboxTime, sandbox, stopped
from engage.torture.record import Sent

PAUSE_S: Final = 0.3
# So many repeats wait for their time at once.
WAITING: Final = 3
COUNTRIES: Final = ("ES", "ES", "NZ")

_ONCE = Delivery(with_key=False, at_once=False, again_later=False, is_patient=False)
_PATIENTLY = Delivery(with_key=False, at_once=False, again_later=False, is_patient=True)


class Actor:
    def __init__(self, client: Client, clock: SandboxTime, rng: Random, codes: set[str]) -> None:
        self._client, self._clock, self._rng = client, clock, rng
        self._codes = codes
        self._waiting: list[tuple[Action, Sent]] = []

    async def act(self, stop: asyncio.Event, watch: Callable[[Client], None]) -> None:
        """Join, `watch` the feed, and do one thing after the other. The last one is a look at the balance."""
        known = None
        while known is None and not await stopped(stop, self._rng.random()):
            known = await self._join()
        if known is None:
            return
        watch(self._client)
        await self._go_on(known, stop)
        await self._client.deliver(earning.look_home(known, self._rng), _PATIENTLY)

    async def _go_on(self, known: Knowledge, stop: asyncio.Event) -> None:
        while not await stopped(stop, self._rng.uniform(0.5, 1.5) * PAUSE_S):
            await self._clock.runs.wait()
            known.now = self._now()
            if self._waiting and self._rng.random() < 0.2:
                await self._client.repeat(*self._waiting.pop(self._rng.randrange(len(self._waiting))))
            else:
                await self._do(known, next_action(known, self._rng))

    async def _do(self, known: Knowledge, action: Action) -> None:
        delivery = draw_delivery(action, self._rng)
        answer, sent = await self._client.deliver(action, delivery)
        learn(known, action, answer)
        if delivery.again_later and len(self._waiting) < WAITING:
            self._waiting.append((action, sent))

    async def _join(self) -> Knowledge | None:
        """A member of this actor's own. Where the answer is lost, the next attempt makes another one."""
        country = self._rng.choice(COUNTRIES)
        body = {"program": PROGRAM, "country": country}
        answer, _ = await self._client.deliver(
            sandbox("createSandboxMember", "/v1/sandbox/members", body), _ONCE
        )
        if answer is None or not answer.is_done:
            return None
        self._client.member, self._client.token = answer.body["member_id"], answer.body["token"]
        return Knowledge(self._client.member, country, now=self._now(), joined=self._now(), codes=self._codes)

    def _now(self) -> datetime:
        return self._clock.now(self._client.record.now())
