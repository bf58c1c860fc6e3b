"""Operators: campaigns that start, pause and end, and guests who are merged or erased.

Guests are members of the operators alone, so that the members' own days stay simple to check.
"""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any, Final

from engage.torture.members.actions import PROGRAM, Action, Caller, Delivery
from engage.torture.members.choices import earning
from engage.torture.members.client import Answer, Client
from engage.torture.members.knowledge import Knowledge
from engage.torture.members.sandbox_time import SandboxTime, sandbox, stopped

PAUSE_S: Final = 2.0
MOST_CAMPAIGNS: Final = 4
BUDGETS: Final = (
    {"points": 40},
    {"points_per_member": 12},
    {"count": 6},
    {"points": 60, "points_per_member": 20, "count": 9},
)
BOOSTED: Final = (["fuel"], ["share_social", "share_link"], ["review", "browse"], ["purchase"])

_ONCE = Delivery(with_key=False, at_once=False, again_later=False, is_patient=False)
_PATIENTLY = Delivery(with_key=True, at_once=False, again_later=False, is_patient=True)


class Operators:
    """Does one thing after the other until the end."""

    def __init__(self, client: Client, clock: SandboxTime, rng: Random, name: str) -> None:
        self._client, self._clock, self._rng, self._name = client, clock, rng, name
        self._campaigns: list[str] = []
        self._guests = 0

    async def act(self, stop: asyncio.Event) -> None:
        while not await stopped(stop, self._rng.uniform(0.5, 1.5) * PAUSE_S):
            await self._clock.runs.wait()
            match self._rng.randrange(4):
                case 0 if len(self._campaigns) < MOST_CAMPAIGNS:
                    await self._publish()
                case 1 | 2 if self._campaigns:
                    await self._switch()
                case 3:
                    await self._close_guests()

    async def _publish(self) -> None:
        id_ = f"{self._name}-{len(self._campaigns)}"
        now = self._clock.now(self._client.record.now()).replace(tzinfo=None, microsecond=0)
        document = {
            "id": id_,
            "program": PROGRAM,
            "title": {"en": id_},
            "from": (now - timedelta(hours=1)).isoformat(),
            "until": (now + timedelta(hours=self._rng.choice([30, 80]))).isoformat(),
            "zone": "UTC",
            "boosts": [{"id": "double", "rules": self._rng.choice(BOOSTED), "multiply": 2}],
            "budget": self._rng.choice(BUDGETS),
        }
        created = await self._ask("createCampaign", "/v1/admin/campaigns", document)
        if created is None or not created.is_done:
            return
        self._campaigns.append(id_)
        await self._ask("submitCampaign", _of(id_, "submit"))
        await self._ask("approveCampaign", _of(id_, "approve"), caller="approver")

    async def _switch(self) -> None:
        action = self._rng.choice(["pause", "resume", "resume", "resume", "end"])
        await self._ask(f"{action}Campaign", _of(self._rng.choice(self._campaigns), action))

    async def _close_guests(self) -> None:
        """Two guests earn something; one is merged into the other, or erased. Then it tries to look."""
        first, second = await self._guest(), await self._guest()
        if first is None or second is None:
            return
        path = f"/v1/admin/members/{first[0]}"
        if self._rng.random() < 0.5:
            body = {"into": second[0], "reason": "one person"}
            await self._ask("mergeMembers", f"{path}/merge?program={PROGRAM}", body)
        else:
            erase = Action(
                operation="eraseMember", method="DELETE", path=f"{path}?program={PROGRAM}", caller="admin"
            )
            await self._client.deliver(erase, Delivery(False, False, False, True))
        for member, token in (first, second):
            await self._as(member, token, _look())

    async def _guest(self) -> tuple[str, str] | None:
        body = {"program": PROGRAM, "country": "ES"}
        join = sandbox("createSandboxMember", "/v1/sandbox/members", body)
        answer, _ = await self._client.deliver(join, _ONCE)
        if answer is None or not answer.is_done:
            return None
        member, token = answer.body["member_id"], answer.body["token"]
        now = self._clock.now(answer.at)
        known = Knowledge(member, "ES", now=now, joined=now)
        for choice in (earning.tap, earning.review, earning.share):
            await self._as(member, token, choice(known, self._rng))
        return member, token

    async def _as(self, member: str, token: str, action: Action) -> None:
        self._client.member, self._client.token = member, token
        try:
            await self._client.deliver(action, _ONCE)
        finally:
            self._client.member, self._client.token = "", ""

    async def _ask(
        self, operation: str, path: str, body: Any = None, *, caller: Caller = "admin"
    ) -> Answer | None:
        action = Action(operation=operation, method="POST", path=path, body=body, caller=caller)
        answer, _ = await self._client.deliver(action, _PATIENTLY)
        return answer


def _of(campaign: str, action: str) -> str:
    return f"/v1/admin/campaigns/{campaign}/{action}?program={PROGRAM}"


def _look() -> Action:
    return Action(operation="getHome", method="GET", path="/v1/me")
