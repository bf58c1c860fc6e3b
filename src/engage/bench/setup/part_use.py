"""The CPU time and the memory that each part of an installation uses."""

import re
from collections.abc import Mapping
from typing import Final

import psutil
from msgspec import Struct
from redis.asyncio import Redis

from engage.bench.setup.commands import MIB, name_of, postgres_mib
from engage.bench.setup.cpu import CpuTimes, cpu_times, used_s
from engage.embedded.supervisor import Supervisor

PARTS: Final = ("api", "feed", "worker")
SERVERS: Final = ("valkey", "postgres")
_SERVER: Final = re.compile(r"valkey|postgres")


class PartUse(Struct, frozen=True):
    """Resident memory in MiB, of PostgreSQL without what its processes share, and CPU time until now."""

    mib: Mapping[str, float]
    cpu: Mapping[str, CpuTimes]

    def cpu_s_since(self, earlier: "PartUse") -> dict[str, float]:
        """Return the CPU seconds of each part between two readings."""
        return {part: used_s(earlier.cpu[part], times) for part, times in self.cpu.items()}


async def read_use(supervisor: Supervisor, state_url: str) -> PartUse:
    """Read what `api`, `feed`, `worker` and the servers of this process use."""
    pids = {part: supervisor.pid(part) for part in PARTS}
    mib = {part: psutil.Process(pid).memory_info().rss / MIB for part, pid in pids.items()}
    async with Redis.from_url(state_url) as valkey:
        mib["valkey"] = int((await valkey.info("memory"))["used_memory_rss"]) / MIB
    times = cpu_times()
    cpu = {part: {pid: times.get(pid, 0.0)} for part, pid in pids.items()}
    servers = _servers()
    for server in SERVERS:
        cpu[server] = {pid: times[pid] for pid, name in servers.items() if name == server and pid in times}
    return PartUse(mib | {"postgres": postgres_mib()}, cpu)


def _servers() -> dict[int, str]:
    named = {}
    for child in psutil.Process().children(recursive=True):
        if match := _SERVER.match(name_of(child)):
            named[child.pid] = match.group()
    return named
