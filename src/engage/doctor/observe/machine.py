"""Observe this machine: its limits and disks."""

import resource
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from engage.doctor.observations import DiskSeen, MachineSeen

SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")


def observe_machine(folders: Iterable[Path], *, is_sandbox: bool) -> MachineSeen:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    backlog = 0
    with suppress(OSError, ValueError):
        backlog = int(SOMAXCONN.read_text())
    return MachineSeen(
        is_sandbox=is_sandbox,
        descriptors=0 if hard == resource.RLIM_INFINITY else hard,
        somaxconn=backlog,
        disks=_disks(folders),
    )


def _disks(folders: Iterable[Path]) -> list[DiskSeen]:
    found: dict[int, DiskSeen] = {}
    for folder in folders:
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            found.setdefault(folder.stat().st_dev, DiskSeen(str(folder), usage.free, usage.total))
    return list(found.values())
