"""A file system in memory that only this program and its children see, and whose size can change."""

import ctypes
import os
from pathlib import Path

SIZE = 4 << 30  # Of memory, as far as it is used.
LEFT = 64 << 10
TRIES = 20
NAME = b"engage-torture"

_CLONE_NEWNS = 0x0002_0000
_MS_REMOUNT, _MS_REC, _MS_PRIVATE = 0x20, 0x4000, 0x4_0000
_MNT_DETACH = 2


def mount(path: Path) -> str | None:
    """Mount a file system for an installation that only this process and its children see, until they end.

    Return why it cannot be done, or None.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return "only Linux has private mounts"
    for failed in (
        libc.unshare(_CLONE_NEWNS),
        libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None),
        libc.mount(NAME, bytes(path), b"tmpfs", 0, f"size={SIZE},mode=0755".encode()),
    ):
        if failed:
            return f"a private file system needs more rights: {os.strerror(ctypes.get_errno())}"
    return None


def unmount(path: Path) -> None:
    ctypes.CDLL(None).umount2(bytes(path), _MNT_DETACH)


def shrink(path: Path) -> None:
    """Leave a little room: files that are being written grow meanwhile."""
    for _ in range(TRIES):
        status = os.statvfs(path)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        try:
            resize(path, used + LEFT)
        except OSError:
            continue
        return
    raise OSError("the disk fills faster than it can be made small")


def resize(path: Path, size: int = SIZE) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(NAME, bytes(path), b"tmpfs", _MS_REMOUNT, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
