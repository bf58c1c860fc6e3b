"""The system user that PostgreSQL runs as when we are root: it refuses to be root itself."""

import os
import pwd
import shutil
import stat
import subprocess
import time
from pathlib import Path

from engage.embedded.child import Owner
from engage.embedded.errors import PartFailed

NAME = "pgserver"
_MADE_WITHIN_S = 5.0


def owner_for(folder: Path) -> Owner | None:
    """Whom PostgreSQL runs as with its files in `folder`, which need not exist; None is ourselves.

    Raises PartFailed where there is no user to be had.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (found := folder.stat()).st_uid != 0:
        return Owner(found.st_uid, found.st_gid)
    entry = _server_user()
    return Owner(entry.pw_uid, entry.pw_gid)


def open_the_way(path: Path, owner: Owner) -> list[Path]:
    """Let `owner` pass through the folders above `path`, where it cannot yet. Returns those opened.

    To pass is less than to read: the folders' lists stay closed.
    """
    opened = []
    for above in path.parents:
        found = above.stat()
        if found.st_uid != owner.uid and not found.st_mode & stat.S_IXOTH:
            above.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
            opened.append(above)
    return opened


def open_tree(root: Path) -> None:
    """Let everyone read and run a tree of programs, where a strict umask installed it closed."""
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IRGRP | stat.S_IROTH
        if mode & stat.S_IXUSR:
            wanted |= stat.S_IXGRP | stat.S_IXOTH
        if wanted != mode:
            path.chmod(wanted)


def _server_user() -> pwd.struct_passwd:
    """Another run may be making the same user now, so a failure to make it is not the last word."""
    if (entry := _look_up()) is not None:
        return entry
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise PartFailed(
            f"PostgreSQL does not run as root: make a system user named {NAME}, or run as another user"
        )
    made = subprocess.run(  # noqa: S603 - a fixed command.
        [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    deadline = time.monotonic() + _MADE_WITHIN_S
    while (entry := _look_up()) is None:
        if time.monotonic() > deadline:
            raise PartFailed(f"the system user {NAME} cannot be made: {made.stderr.strip()}")
        time.sleep(0.05)
    return entry


def _look_up() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None
