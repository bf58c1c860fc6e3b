"""`engage worker` as a process goes on whatever happens to its connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace
from sqlalchemy import text

from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.install import install
from engage.runtime.database import one_statement
from engage.runtime.services import Services, open_services
from engage.settings import Settings, to_environment
from tests.support.clock import NOON, running_clock, set_sandbox_clock
from tests.support.command_line import engage
from tests.support.proxy import Proxy, proxy_to_postgres, proxy_to_valkey

PROGRAM = "eu-mi-points"
WITHIN_S = 30.0
OUTAGE_S = 2.0
ACTIVE = text("SELECT count(*) FROM credits WHERE state = 'active' AND member_id = :member_id")
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Running:
    """A worker whose connections to the queue and to PostgreSQL go through proxies."""

    def __init__(
        self, process: asyncio.subprocess.Process, services: Services, queue: Proxy, postgres: Proxy
    ) -> None:
        self.process = process
        self.services = services
        self.queue = queue
        self.postgres = postgres
        self._members = 0

    async def works(self) -> None:
        """Wait until a new credit has become active."""
        self._members += 1
        member_id = f"m{self._members}"
        await register_member(
            self.services,
            MemberRegistration(member_id=member_id, program=PROGRAM, country="ES", person_ref=member_id),
        )
        # By the database's clock, which all processes follow, it is an hour later now.
        await set_sandbox_clock(self.services.settings, NOON + timedelta(hours=self._members))
        async with asyncio.timeout(WITHIN_S):
            while not await self._is_active(member_id):
                assert self.process.returncode is None, "the worker has ended"
                await asyncio.sleep(0.05)

    async def _is_active(self, member_id: str) -> bool:
        async with one_statement(self.services.db) as conn:
            return bool((await conn.execute(ACTIVE, {"member_id": member_id})).scalar_one())


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[Running]:
    await install(settings)
    async with (
        proxy_to_valkey(settings.queue_url) as (queue, queue_url),
        proxy_to_postgres(settings) as (postgres, database_url),
        open_services(settings, running_clock()) as services,
    ):
        await services.programs.refresh(services.db)
        behind = replace(settings, queue_url=queue_url, database_url=database_url)
        process = await engage("worker", cwd=Path.cwd(), **to_environment(behind))
        reading = asyncio.create_task(process.communicate())
        try:
            yield Running(process, services, queue, postgres)
        finally:
            if process.returncode is None:
                process.kill()
            await reading


async def test_a_worker_goes_on_after_each_loss_of_its_connections(settings: Settings) -> None:
    async with running_worker(settings) as worker:
        await worker.works()
        # Packets are dropped: the connections stay open, and are silent for ever.
        for proxy in (worker.queue, worker.postgres):
            with proxy.silent():
                await asyncio.sleep(OUTAGE_S)
            await worker.works()
        # Valkey restarts behind a proxy, which accepts connections and ends them.
        with worker.queue.refusing():
            await asyncio.sleep(OUTAGE_S)
        await worker.works()
        # Statements are cancelled, and connections ended, in the middle of everything.
        for signal in ("pg_cancel_backend", "pg_terminate_backend"):
            for _ in range(20):
                async with one_statement(worker.services.db) as conn:
                    await conn.execute(text(f"SELECT {signal}(pid) {OTHERS}"))
                await asyncio.sleep(0.05)
            await worker.works()
        alive = await worker.services.topics.read_heartbeats("worker")
        assert [process.problems for process in alive] == [[]]
