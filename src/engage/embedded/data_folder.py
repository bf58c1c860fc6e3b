"""The folder of an installation: its layout, its lock, and how files in it are written.

<folder>/layout         the version of this layout
<folder>/lock           a file lock, taken while the installation is open; contains the pid of its process
<folder>/run.json       settings and child processes of the running installation
<folder>/sandbox.json   the sandbox's secrets
<folder>/jwks.json      the public signing key
<folder>/alive          a file of each running process, which it touches every second
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
LOCK_ATTEMPTS = 5
RETRY_S = 0.02


class DataFolder(msgspec.Struct, frozen=True):
    """The paths of an installation. `path` is absolute."""

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
    def alive(self) -> Path:
        return self.path / "alive"

    @property
    def bytecode(self) -> Path:
        return self.path / "bytecode"


def folder_at(path: Path) -> DataFolder:
    """Resolve a relative path now, because children may have another current directory."""
    return DataFolder(path.expanduser().absolute())


@contextmanager
def lock_folder(folder: DataFolder) -> Iterator[None]:
    """Create the folder if it does not exist, and lock it against other processes.

    Raises FolderInUse, FolderUnusable.
    """
    try:
        _create(folder)
        lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FolderUnusable(f"cannot use {folder.path} as a data folder: {error.strerror}") from error
    try:
        _acquire_with_retries(folder, lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def is_locked(folder: DataFolder) -> bool:
    """Raises FolderUnusable if the folder cannot be read."""
    try:
        lock = os.open(folder.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FolderUnusable(f"cannot read {folder.path}: {error.strerror}") from error
    try:
        _acquire(folder, lock)
    except FolderInUse:
        return True
    finally:
        os.close(lock)
    return False


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file atomically: readers see the old content or the new. Raises FolderUnusable."""
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


def _create(folder: DataFolder) -> None:
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not folder.layout.exists():
        foreign = sorted(entry.name for entry in folder.path.iterdir() if entry.name != folder.lock.name)
        if foreign:
            raise FolderUnusable(f"{folder.path} is not a data folder of engage: it contains {foreign[0]}")
        write_private(folder.layout, f"{LAYOUT}\n".encode(), mode=0o644)
    owner = folder.layout.stat().st_uid
    if owner != os.geteuid():
        # Root could continue, but would create files that the owner cannot write.
        raise FolderUnusable(f"{folder.path} belongs to the user with id {owner}: run engage as that user")
    layout = folder.layout.read_text().strip()
    if layout != LAYOUT:
        raise FolderUnusable(f"{folder.path} has layout {layout}; this version of engage reads {LAYOUT}")
    # PostgreSQL refuses to run as root. Its user has to traverse this folder, but must not list it.
    folder.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    for subfolder in (folder.logs, folder.valkey, folder.alive):
        subfolder.mkdir(mode=0o700, exist_ok=True)


def _acquire(folder: DataFolder, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid: int | None = None
        with suppress(ValueError):
            pid = int(os.pread(lock, 32, 0))
        raise FolderInUse(folder.path, pid) from None


def _acquire_with_retries(folder: DataFolder, lock: int) -> None:
    """Retry, because `is_locked` takes the lock for a moment."""
    for _ in range(LOCK_ATTEMPTS):
        with suppress(FolderInUse):
            return _acquire(folder, lock)
        time.sleep(RETRY_S)
    return _acquire(folder, lock)
