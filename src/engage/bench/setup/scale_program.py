"""A copy of the program of the benchmarks that takes points at checkout."""

from typing import Final

from engage.bench.setup.constants import PRESET
from engage.domain.program.program import Program
from engage.flows.programs.publish import publish
from engage.programs import text
from engage.runtime.services import Services

SCALE: Final = "scale"

_CHECKOUT: Final = """
[checkout]
min_balance = 1
max_percent = 100
shipping = true
hold_for = "PT30M"
"""


async def publish_scale(services: Services) -> Program:
    """Publish the program."""
    document = (
        text(PRESET).partition("\n[[examples]]")[0].replace('id = "eu-mi-points"', f'id = "{SCALE}"', 1)
    )
    program, _ = await publish(
        services.db, document + _CHECKOUT, source=SCALE, operator="bench", clock=services.clock
    )
    await services.programs.refresh(services.db)
    return program
