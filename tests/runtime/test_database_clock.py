"""Processes on machines with wrong clocks: the database's clock decides."""

import time
from datetime import timedelta

from sqlalchemy import text

from engage.clock import Clock
from engage.runtime.database import one_statement
from engage.runtime.services import open_services
from engage.settings import Settings
from tests.support.clock import wrong_clock
from tests.support.database import rows

A_DAY_AHEAD = timedelta(hours=25)


async def test_a_process_follows_the_database_and_not_its_machine(settings: Settings) -> None:
    async with open_services(settings, wrong_clock(A_DAY_AHEAD)) as services:
        async with one_statement(services.db) as conn:
            before = services.clock.wall()
            ((shown, offset),) = (
                await conn.execute(text("SELECT clock_timestamp(), ahead FROM sandbox_clock"))
            ).all()
        assert before < shown
        assert shown - before < services.clock.error + timedelta(seconds=5)
        assert services.clock.now() - services.clock.wall() - offset < timedelta(seconds=1)
        assert A_DAY_AHEAD - timedelta(seconds=5) < services.clock.skew <= A_DAY_AHEAD


async def test_outside_a_sandbox_the_offset_does_not_count(settings: Settings) -> None:
    import msgspec

    real = msgspec.structs.replace(settings, sandbox=None)
    async with open_services(real, Clock()) as services:
        assert await rows(services.db, "SELECT count(*) FROM sandbox_clock WHERE ahead <> '0'") == [(1,)]
        await services.follow_clock()
        assert abs(services.clock.now().timestamp() - time.time()) < 5
