"""The interface of beacons."""

from datetime import datetime
from typing import Protocol

from engage.domain.draws.beacon import Chain


class Beacon(Protocol):
    """`chain` has the public key that its rounds are verified with."""

    @property
    def chain(self) -> Chain: ...

    async def signature(self, number: int, *, at: datetime) -> str | None:
        """The verified signature of a round, in hexadecimal; None where there is none yet. Returns within a
        time limit. `at` is the time by the clock of the draws, which only a sandbox needs.
        """

    async def close(self) -> None:
        """Closes connections. No call follows."""
