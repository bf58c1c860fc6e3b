"""A client of several APIs: each request goes to one of them, with bounded time, and into the record."""

import asyncio
from random import Random
from typing import Any, Final

import httpx
from msgspec import Struct
from msgspec.structs import replace

from engage.torture.endpoints import Endpoints
from engage.torture.members.actions import Action, Delivery
from engage.torture.members.pace import Pace
from engage.torture.record import KEPT_BODY, KEPT_HEADERS, Answered, Lost, Record, Sent

# A patient client waits this long between two attempts, and gives up after so many.
PAUSE_S: Final = 0.5
ATTEMPTS: Final = 40

# Statuses that say nothing about what was done; the same request may be sent again.
UNDECIDED: Final = (408, 429, 500, 502, 503, 504)


class Answer(Struct, frozen=True):
    """An answer that decides: anything but an outage. `sent_at`: when its request was sent, monotonic."""

    status: int
    body: Any
    headers: dict[str, str]
    sent_at: float
    at: float

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_in_flight(self) -> bool:
        return (
            self.status == 409
            and isinstance(self.body, dict)
            and self.body.get("code") == "request_in_flight"
        )


class Client:
    """Sends the requests of one actor. Connections are shared by all actors."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        endpoints: Endpoints,
        record: Record,
        pace: Pace,
        rng: Random,
        actor: str,
    ) -> None:
        self._http, self._endpoints, self.record, self._pace = http, endpoints, record, pace
        self._rng, self._actor, self._keys = rng, actor, 0
        self.member, self.token = "", ""

    async def deliver(self, action: Action, delivery: Delivery) -> tuple[Answer | None, Sent]:
        """The answer, or None if it was lost for good; and the first request that was sent."""
        key = self._new_key() if delivery.with_key else None
        first, second = self._two_apis()
        sent = self._sent(action, first, key, None)
        if delivery.at_once:
            repeat = self._sent(action, second, key, sent.id)
            answers = await asyncio.gather(self._exchange(action, sent), self._exchange(action, repeat))
            answer = _better(*answers)
        else:
            answer = await self._exchange(action, sent)
        if delivery.is_patient:
            answer = await self._insist(action, sent, answer)
        return answer, sent

    async def repeat(self, action: Action, sent: Sent) -> Answer | None:
        """Send a request once more, to either API."""
        api = self._rng.randrange(len(self._endpoints.apis))
        return await self._exchange(action, self._sent(action, api, sent.idempotency_key, sent.id))

    async def _insist(self, action: Action, sent: Sent, answer: Answer | None) -> Answer | None:
        for _ in range(ATTEMPTS):
            if answer is not None and not answer.is_in_flight:
                return answer
            await asyncio.sleep(PAUSE_S)
            answer = await self.repeat(action, sent)
        return answer

    def _two_apis(self) -> tuple[int, int]:
        count = len(self._endpoints.apis)
        first = self._rng.randrange(count)
        return first, (first + 1) % count

    def _new_key(self) -> str:
        self._keys += 1
        return f"{self._actor}-{self._keys}"

    def _sent(self, action: Action, api: int, key: str | None, repeat_of: int | None) -> Sent:
        return Sent(
            id=self.record.new_id(),
            at=self.record.now(),
            member=self.member,
            method=action.method,
            path=action.path,
            body=action.body,
            idempotency_key=key,
            repeat_of=repeat_of,
            actor=self._actor,
            operation=action.operation,
            api=api,
        )

    async def _exchange(self, action: Action, sent: Sent) -> Answer | None:
        await self._pace.turn()
        sent = replace(sent, at=self.record.now())
        self.record.add(sent)
        try:
            async with asyncio.timeout(action.limit_s):
                response = await self._http.request(
                    sent.method,
                    self._endpoints.apis[sent.api] + sent.path,
                    json=sent.body,
                    headers=self._headers(action, sent),
                )
        except (httpx.HTTPError, TimeoutError) as error:
            self.record.add(Lost(sent_id=sent.id, at=self.record.now(), error=repr(error)))
            return None
        except asyncio.CancelledError:
            self.record.add(Lost(sent_id=sent.id, at=self.record.now(), error="the client ended"))
            raise
        answered = _answered(sent, response, self.record.now())
        self.record.add(answered)
        if answered.status in UNDECIDED:
            return None
        return Answer(answered.status, answered.body, answered.headers, sent.at, answered.at)

    def _headers(self, action: Action, sent: Sent) -> dict[str, str]:
        credential = {
            "member": self.token,
            "shop": self._endpoints.shop_key,
            "admin": self._endpoints.admin_key,
            "approver": self._endpoints.approver_key,
            "anyone": "",
        }[action.caller]
        headers: dict[str, str] = dict(action.headers)
        if credential:
            headers["authorization"] = f"Bearer {credential}"
        if sent.idempotency_key is not None:
            headers["idempotency-key"] = sent.idempotency_key
        return headers


def _answered(sent: Sent, response: httpx.Response, at: float) -> Answered:
    is_json = response.headers.get("content-type", "").partition(";")[0].endswith("json")
    return Answered(
        sent_id=sent.id,
        at=at,
        status=response.status_code,
        headers={name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
        body=response.json() if is_json and response.content else response.text[:KEPT_BODY],
    )


def _better(first: Answer | None, second: Answer | None) -> Answer | None:
    """Of two answers to one request, the one that says more of what was done."""
    for answer in (first, second):
        if answer is not None and answer.is_done:
            return answer
    return first if first is not None and not first.is_in_flight else second
