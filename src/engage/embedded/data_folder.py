"""An installation's folder: its layout, who holds it, and what the holder leaves for others to read.

<folder>/layout         the version of this layout
<folder>/lock           flock, held for as long as the installation is open; holds the holder's pid
<folder>/run.json       the running installation: its settings and its children
<folder>/sandbox.json   the sandbox's secrets; jwks.json beside it is public
<folder>/postgres, valkey, logs, bytecode
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from engage.embedded.errors import FolderInUse, FolderUnusable

LAYOUT = "1"
DEFAULT_FOLDER = Path(".engage")
LOOKS = 5
LOOK_S = 0.02


class DataFolder(msgspec.Struct, frozen=True):
    """The paths of an installation; `path` is absolute."""

    path: Path

    @property
    def layout(self) -> Path:
        return self.path / "layout"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def run(self) -> Path:
        return self.path / "run.json"

    @property
    def sandbox(self) -> Path:
        return self.path / "sandbox.json"

    @property
    def jwks(self) -> Path:
        return self.path / "jwks.json"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def bytecode(self) -> Path:
        return self.path / "bytecode"


def folder_at(path: Path) -> DataFolder:
    """A relative path counts from the current directory, now: children may have another one."""
    return DataFolder(path.expanduser().absolute())


@contextmanager
def hold(folder: DataFolder) -> Iterator[None]:
    """Make the folder if there is none, and keep everyone else out of it.

    Raises FolderInUse and FolderUnusable.
    """
    try:
        _make(folder)
        lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FolderUnusable(f"cannot use {folder.path} as a data folder: {error.strerror}") from error
    try:
        _take_patiently(folder, lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def is_held(folder: DataFolder) -> bool:
    try:
        lock = os.open(folder.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FolderUnusable(f"cannot read {folder.path}: {error.strerror}") from error
    try:
        _take(folder, lock)
    except FolderInUse:
        return True
    finally:
        os.close(lock)
    return False


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file whole, so that a reader sees the old one or the new one. Raises FolderUnusable."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise FolderUnusable(f"cannot write {path}: {error.strerror}") from error


def _make(folder: DataFolder) -> None:
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not folder.layout.exists():
        strangers = sorted(entry.name for entry in folder.path.iterdir() if entry.name != folder.lock.name)
        if strangers:
            raise FolderUnusable(f"{folder.path} is not a data folder of engage: it holds {strangers[0]}")
        write_private(folder.layout, f"{LAYOUT}\n".encode(), mode=0o644)
    owner = folder.layout.stat().st_uid
    if owner != os.geteuid():
        # Root could go on, and would leave files behind that the owner can no longer write.
        raise FolderUnusable(f"{folder.path} belongs to the user with id {owner}: run engage as that user")
    layout = folder.layout.read_text().strip()
    if layout != LAYOUT:
        raise FolderUnusable(f"{folder.path} has layout {layout}; this version of engage reads {LAYOUT}")
    # PostgreSQL refuses to run as root; its own user then has to pass through, without seeing what is here.
    folder.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    for inner in (folder.logs, folder.valkey):
        inner.mkdir(mode=0o700, exist_ok=True)


def _take(folder: DataFolder, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid: int | None = None
        with suppress(ValueError):
            pid = int(os.pread(lock, 32, 0))
        raise FolderInUse(folder.path, pid) from None


def _take_patiently(folder: DataFolder, lock: int) -> None:
    """Someone who only looks whether the folder is held holds it himself for a moment."""
    for _ in range(LOOKS):
        with suppress(FolderInUse):
            return _take(folder, lock)
        time.sleep(LOOK_S)
    return _take(folder, lock)
