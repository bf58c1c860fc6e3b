"""The doorbell: arq jobs that say "something is due now", one a tick, however many credits are due.

A job carries no rows: PostgreSQL knows what is due, and the sweep finds what nobody rang for. So the load of
the queue does not grow with traffic, and a lost queue costs seconds.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from engage.clock import Clock
from engage.connections.logins import Url
from engage.connections.valkey import answering, open_client

QUEUE = "engage:queue"
SETTLE_JOB = "settle"
REACT_JOB = "react"
EXPIRE_JOB = "expire"
CHECK_KEY = "engage:health:queue"
CHECK_TTL_S = 10

# Limits how late a credit can be, and the number of jobs: four a second at most.
TICK = timedelta(milliseconds=250)
_EPOCH = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
RUNG_LIMIT = 10_000
JOB_KEPT = timedelta(days=1)  # After its time. The sweep finds what no job has settled.

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class Doorbell:
    """Rings workers at due times. Connects when first used. Every call raises Unavailable("valkey")."""

    def __init__(self, queue: ArqRedis, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self.rings = 0  # Ticks that were requested.
        self._rung: set[int] = set()
        self._forget_at = RUNG_LIMIT
        self._reacting = 0  # The last tick at which reactions were requested.

    async def ring(self, due: Iterable[datetime]) -> None:
        """Requests a settlement at each of these times. A tick is requested once."""
        # Past times are due now: arq refuses jobs that would have expired.
        now = tick_of(self._clock.wall())
        ticks = {max(tick_of(self._clock.wall_of(at)), now) for at in due} - self._rung
        if not ticks:
            return
        for tick in sorted(ticks):
            async with answering():
                await self._queue.enqueue_job(
                    SETTLE_JOB,
                    tick,
                    _job_id=f"{SETTLE_JOB}:{tick}",
                    _defer_until=time_of(tick),
                    # arq would count from the machine's own clock, by which the time may be long past.
                    _expires=(tick - now) * TICK + JOB_KEPT,
                    _queue_name=QUEUE,
                )
            self._rung.add(tick)
            self.rings += 1
        if len(self._rung) > self._forget_at:
            # With long delays most ticks are in the future and stay. This must not run at every call.
            self._rung = {tick for tick in self._rung if tick >= now}
            self._forget_at = len(self._rung) + RUNG_LIMIT

    async def ring_for_reactions(self) -> None:
        """Requests the reactions to what was committed, at the next tick. A tick is requested once."""
        tick = tick_of(self._clock.wall()) + 1
        if tick == self._reacting:
            return
        async with answering():
            await self._queue.enqueue_job(
                REACT_JOB,
                _job_id=f"{REACT_JOB}:{tick}",
                _defer_until=time_of(tick),
                _expires=JOB_KEPT,
                _queue_name=QUEUE,
            )
        self._reacting = tick

    async def request_workers(self, job: str, tick: int, count: int) -> None:
        """Requests `count` more jobs, for other workers to join one that has more to do than a batch."""
        async with answering():
            for n in range(count):
                await self._queue.enqueue_job(job, tick, n, _job_id=f"{job}:{tick}:{n}", _queue_name=QUEUE)

    async def check(self) -> None:
        """Writes to the queue's server: it may answer and refuse writes."""
        async with answering():
            await self._queue.set(CHECK_KEY, 1, ex=CHECK_TTL_S)

    async def count_jobs(self) -> int:
        """Return the number of jobs in the queue, those of later times too."""
        async with answering():
            return int(await self._queue.zcard(QUEUE))

    async def memory_bytes(self) -> int:
        """Return the memory of the queue's server."""
        async with answering():
            return int((await self._queue.info("memory"))["used_memory"])

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._queue.aclose()


def tick_of(at: datetime) -> int:
    """The first tick at or after `at`: the doorbell never rings early."""
    return -((_EPOCH - at) // TICK)


def time_of(tick: int) -> datetime:
    return _EPOCH + tick * TICK


def open_queue(url: Url) -> ArqRedis:
    """Open a client of arq's queue. Connects when first used."""
    client = open_client(ArqRedis, url)
    client.job_serializer, client.job_deserializer = pack, unpack
    client.default_queue_name = QUEUE
    return client
