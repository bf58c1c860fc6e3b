"""Time until the installation is live again, from outside: both APIs are ready and take taps."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import httpx
from msgspec import Struct

from engage.torture.asking import open_client
from engage.torture.parts import PROCESSES, SERVERS
from engage.torture.record import Record
from engage.torture.system import System

PROGRAM = "eu-mi-points"
POLL_S = 0.05
ANSWER_S = 3.0
LIVE_WITHIN_S = 10.0  # The promise.
GIVE_UP_S = 90.0


class Recovery(Struct, frozen=True):
    """Seconds until the installation was live again, and how many of them a part waited for a processor.

    `missing`: the last answer, where it did not become live at all.
    """

    seconds: float
    starved_s: float
    missing: str = ""

    @property
    def is_judged(self) -> bool:
        """False if the machine was so busy with other work that the time says nothing of the installation."""
        return bool(self.missing) or self.seconds <= LIVE_WITHIN_S or self.starved_s < self.seconds / 2

    @property
    def is_kept(self) -> bool:
        """True if it was live in time, but for the time in which the machine gave a part no processor."""
        return not self.missing and (self.seconds - self.starved_s <= LIVE_WITHIN_S or not self.is_judged)


class Probe:
    """A client of all APIs. An answer that is a server error is no mere delay: the record keeps it."""

    def __init__(self, system: System, record: Record) -> None:
        self._system, self._record = system, record

    async def until_live(self, since: float) -> Recovery:
        """Wait until it is live; count from `since`, a time of the loop."""
        loop = asyncio.get_running_loop()
        waited = Starvation(self._pids)
        missing = dict.fromkeys(self._system.endpoints.apis, "not asked")
        while missing:
            for api in list(missing):
                missing[api] = await self._missing(api)
                if not missing[api]:
                    del missing[api]
            if loop.time() - since > GIVE_UP_S:
                return waited.recovery(loop.time() - since, "; ".join(missing.values()))
            waited.look()
            if missing:
                await asyncio.sleep(POLL_S)
        return waited.recovery(loop.time() - since)

    async def _missing(self, api: str) -> str:
        """Return why an API is not live; nothing if it is."""
        try:
            # Without TLS: reading the certificates at each look would take a processor from the installation.
            async with open_client(
                self._record, "probe", base_url=api, timeout_s=ANSWER_S, verify=False
            ) as client:
                answer = await client.get("/health/ready")
                if answer.status_code != 200:
                    return f"{api} {answer.status_code} {answer.text[:500]}"
                joined = await client.post("/v1/sandbox/members", json={"program": PROGRAM})
                if joined.status_code != 201:
                    return f"{api} {joined.status_code} {joined.text[:500]}"
                token = {"authorization": f"Bearer {joined.json()['token']}"}
                tapped = await client.post("/v1/fuel/taps", headers=token)
                return "" if tapped.status_code == 202 else f"{api} {tapped.status_code} {tapped.text[:500]}"
        except httpx.HTTPError as error:
            return f"{api} {error!r}"

    def _pids(self) -> Iterable[int]:
        return [self._system.pid(name) for name in (*PROCESSES, *SERVERS)]


class Starvation:
    """The longest time in which a thread of some processes was ready to run and had no processor."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._first: dict[tuple[int, str], int] = {}
        self._last: dict[tuple[int, str], int] = {}
        self.look(first=True)

    def look(self, *, first: bool = False) -> None:
        for pid in self._pids():
            for thread, waited in _waited_ns(pid).items():
                self._first.setdefault((pid, thread), waited if first else 0)
                self._last[pid, thread] = waited

    def recovery(self, seconds: float, missing: str = "") -> Recovery:
        return Recovery(seconds, min(seconds, self._seconds()), missing)

    def _seconds(self) -> float:
        return max((self._last[key] - self._first[key] for key in self._last), default=0) / 1e9


def _waited_ns(pid: int) -> dict[str, int]:
    """Return the nanoseconds that each thread of a process has waited for a processor; none but on Linux."""
    found = {}
    with suppress(OSError, ValueError, IndexError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError, ValueError, IndexError):
                found[thread.name] = int((thread / "schedstat").read_text().split()[1])
    return found
