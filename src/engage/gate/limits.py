"""Rate limits in Valkey: what all processes together have let through, for each caller.

All of it may be lost: then callers begin with a whole quota.
"""

from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, Final
from zlib import crc32

import msgspec

from engage.connections.servers import Call
from engage.domain.refusals import Unavailable

LIBRARY: Final = resources.files("engage.gate").joinpath("limits.lua").read_text()

# Callers share hash tags, so that a Cluster needs few calls for many of them.
BUCKETS: Final = 16
PREFIX: Final = "engage:limit:"

Group = Callable[[Sequence[str], Callable[[str], str]], list[tuple[Sequence[int], Sequence[str]]]]
Command = Callable[[str, list[str], object], Call]
Run = Callable[[Sequence[Call]], Awaitable[list[Any]]]

_integers = msgspec.msgpack.Decoder(list[int])


class Limits:
    """Works on the gate's client."""

    def __init__(self, group: Group, command: Command, run: Run) -> None:
        self._group = group
        self._command = command
        self._run = run

    async def charge(self, costs: Sequence[tuple[str, int]]) -> list[int]:
        """Charge callers, each once, with microseconds. Return for each in how many its quota is whole again:
        0 where the server of a Cluster is away. Raises Unavailable where all are.
        """
        left = [0] * len(costs)
        names = [_name(caller) for caller, _ in costs]
        groups = self._group(names, str)
        commands = [
            self._command("engage_charge", list(group), [costs[index][1] for index in indexes])
            for indexes, group in groups
        ]
        answers = await self._run(commands)
        if answers and all(isinstance(answer, Unavailable) for answer in answers):
            raise answers[0]
        for (indexes, _), answer in zip(groups, answers, strict=True):
            if isinstance(answer, Unavailable):
                continue
            for index, us in zip(indexes, _integers.decode(answer), strict=True):
                left[index] = us
        return left


def _name(caller: str) -> str:
    return f"{PREFIX}{{{crc32(caller.encode()) % BUCKETS:x}}}:{caller}"
