"""The doorbell: arq jobs that say "something is due now", one a tick, however many credits are due.

A job carries no rows: PostgreSQL knows what is due, and the sweep finds what nobody rang for. So the load of
the queue does not grow with traffic, and a lost queue costs seconds.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as ValkeyConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as ValkeyTimeoutError

from engage.clock import Clock
from engage.signals.answering import answering

QUEUE = "engage:queue"
SETTLE_JOB = "settle"
EXPIRE_JOB = "expire"
WORKER_HEALTH_PREFIX = "engage:health:worker:"

# Limits how late a credit can be, and the number of jobs: four a second at most.
TICK = timedelta(milliseconds=250)
_EPOCH = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
RUNG_LIMIT = 10_000

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class Doorbell:
    """Rings workers at due times. Connects when first used. Every call raises Unavailable("valkey")."""

    def __init__(self, settings: RedisSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._pool: ArqRedis | None = None
        self._connecting = asyncio.Lock()
        self._rung: set[int] = set()
        self._forget_at = RUNG_LIMIT

    async def ring(self, due: Iterable[datetime]) -> None:
        """Requests a settlement at each of these times. A tick is requested once."""
        # Past times are due now: arq refuses jobs that would have expired.
        now = tick_of(self._clock.wall())
        ticks = {max(tick_of(self._clock.wall_of(at)), now) for at in due} - self._rung
        if not ticks:
            return
        pool = await self._connected()
        for tick in sorted(ticks):
            async with answering():
                await pool.enqueue_job(
                    SETTLE_JOB,
                    tick,
                    _job_id=f"{SETTLE_JOB}:{tick}",
                    _defer_until=_EPOCH + tick * TICK,
                    _queue_name=QUEUE,
                )
            self._rung.add(tick)
        if len(self._rung) > self._forget_at:
            # With long delays most ticks are in the future and stay. This must not run at every call.
            self._rung = {tick for tick in self._rung if tick >= now}
            self._forget_at = len(self._rung) + RUNG_LIMIT

    async def request_workers(self, job: str, tick: int, count: int) -> None:
        """Requests `count` more jobs, for other workers to join one that has more to do than a batch."""
        pool = await self._connected()
        async with answering():
            for n in range(count):
                await pool.enqueue_job(job, tick, n, _job_id=f"{job}:{tick}:{n}", _queue_name=QUEUE)

    async def count_workers(self) -> int:
        """The number of workers with a heartbeat in the last seconds."""
        pool = await self._connected()
        async with answering():
            return len([key async for key in pool.scan_iter(match=f"{WORKER_HEALTH_PREFIX}*", count=1000)])

    async def close(self) -> None:
        if self._pool is not None:
            with suppress(RedisError, OSError):
                await self._pool.aclose()

    async def _connected(self) -> ArqRedis:
        async with self._connecting:
            if self._pool is None:
                async with answering():
                    self._pool = await create_pool(
                        self._settings,
                        job_serializer=pack,
                        job_deserializer=unpack,
                        default_queue_name=QUEUE,
                    )
            return self._pool


def tick_of(at: datetime) -> int:
    """The first tick at or after `at`: the doorbell never rings early."""
    return -((_EPOCH - at) // TICK)


def queue_settings(url: str, *, connect_attempts: int = 0) -> RedisSettings:
    """Connection settings with which a worker survives a restart of Valkey, and a call fails fast."""
    settings = RedisSettings.from_dsn(url)
    settings.conn_timeout = 2
    settings.conn_retries = connect_attempts
    settings.retry_on_error = [ValkeyConnectionError, ValkeyTimeoutError, OSError]
    settings.retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), 5)
    return settings
