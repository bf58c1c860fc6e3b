"""Checks of this machine, and of a folder whose installation does not run."""

from collections.abc import Iterator
from typing import Final

from engage.api.server.connections import Limits as ApiLimits
from engage.api.server.listening import BACKLOG
from engage.doctor.check import Check, Facts
from engage.doctor.observations import DiskSeen, MachineSeen
from engage.doctor.words import bytes_text
from engage.feed.run import OTHER_DESCRIPTORS
from engage.feed.server import Limits as FeedLimits

ALMOST_NOTHING: Final = 512 * 2**20
LITTLE: Final = 5 * 2**30
LITTLE_SHARE: Final = 0.05


def _not_running(folder: str) -> Iterator[Facts]:
    yield {"folder": folder}


def _disk_full(seen: MachineSeen) -> Iterator[Facts]:
    for disk in seen.disks:
        if disk.free_bytes < ALMOST_NOTHING:
            yield {"path": disk.path, "free": bytes_text(disk.free_bytes)}


def _disk_nearly_full(seen: MachineSeen) -> Iterator[Facts]:
    for disk in seen.disks:
        if disk.free_bytes >= ALMOST_NOTHING and _is_little(disk):
            yield {"path": disk.path, "free": bytes_text(disk.free_bytes)}


def _is_little(disk: DiskSeen) -> bool:
    return disk.free_bytes < LITTLE and disk.free_bytes < LITTLE_SHARE * disk.total_bytes


def _descriptors(seen: MachineSeen) -> Iterator[Facts]:
    most = max(ApiLimits().total, FeedLimits().connections)
    needed = most + OTHER_DESCRIPTORS
    if not seen.is_sandbox and seen.descriptors and seen.descriptors < needed:
        yield {"limit": f"{seen.descriptors:,}", "needed": needed, "sockets": f"{most:,}"}


def _backlog(seen: MachineSeen) -> Iterator[Facts]:
    if not seen.is_sandbox and 0 < seen.somaxconn < BACKLOG:
        yield {"found": seen.somaxconn, "wanted": BACKLOG}


CHECKS = (
    Check(
        "not_running",
        "folder_not_running",
        "error",
        "The installation in {folder} does not run.",
        "Start it: engage up --data {folder}. Then ask again: only a running installation can be examined.",
        _not_running,
    ),
    Check(
        "disk_full",
        "machine",
        "error",
        "The disk of {path} has {free} left: soon nothing can be stored.",
        "Free it, or move to a larger one.",
        _disk_full,
    ),
    Check(
        "disk_nearly_full",
        "machine",
        "warning",
        "The disk of {path} has {free} left.",
        "Free it, or move to a larger one.",
        _disk_nearly_full,
    ),
    Check(
        "few_descriptors",
        "machine",
        "warning",
        "A process on this machine may open {limit} files and sockets; a feed is made for {sockets} sockets.",
        "Raise the limit to {needed} for the processes of engage (ulimit -Hn, LimitNOFILE of systemd, "
        "ulimits of Docker). Until then each process takes fewer connections.",
        _descriptors,
    ),
    Check(
        "short_backlog",
        "machine",
        "warning",
        "This machine lets {found} connections wait; the API asks for {wanted}.",
        "sysctl -w net.core.somaxconn={wanted}, and write it to /etc/sysctl.d.",
        _backlog,
    ),
)
