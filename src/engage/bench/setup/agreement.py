"""Compare what apps show with what the ledger says."""

import asyncio
import time
from typing import Final

from msgspec import Struct
from sqlalchemy import text

from engage.bench.clients.app_client import GetStates, State, States
from engage.bench.errors import BenchmarkFailed
from engage.bench.setup.child_program import ChildProgram
from engage.bench.setup.constants import member_id
from engage.runtime.database import transaction
from engage.runtime.services import Services

AGREE_S: Final = 60.0
LOOK_S: Final = 0.5

_LEDGER: Final = text("""
SELECT member_id, version, active, pending, held, debt FROM balances
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")


class Agreed(Struct, frozen=True):
    """Apps that show what the ledger says, and how often one was lost before."""

    apps: int
    lost: int


async def apps_agree(services: Services, client: ChildProgram, program_id: str, prefix: str) -> Agreed:
    """Wait until all apps agree with the ledger. Raises BenchmarkFailed if one does not in time."""
    deadline = time.monotonic() + AGREE_S
    while True:
        states = await client.call(GetStates(), States)
        ledger = await _ledger(services, program_id, prefix, list(states.of))
        wrong = [number for number, state in states.of.items() if ledger.get(number) != state]
        if not wrong:
            return Agreed(len(states.of), states.lost)
        if time.monotonic() > deadline:
            number = wrong[0]
            raise BenchmarkFailed(
                f"{len(wrong):,} apps have lost an update: member {number} sees {states.of[number]}, "
                f"the ledger says {ledger.get(number)}"
            )
        await asyncio.sleep(LOOK_S)


async def _ledger(services: Services, program_id: str, prefix: str, numbers: list[int]) -> dict[int, State]:
    members = [member_id(prefix, number) for number in numbers]
    async with transaction(services.db) as conn:
        rows = await conn.execute(_LEDGER, {"program_id": program_id, "member_ids": members})
        return {int(row.member_id.removeprefix(prefix)): State(*row[1:]) for row in rows}
