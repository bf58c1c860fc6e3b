"""The system user for PostgreSQL, which refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
import time
from pathlib import Path

from engage.embedded.child_process import SystemUser
from engage.embedded.errors import ProcessFailed

NAME = "pgserver"
_CREATED_WITHIN_S = 5.0


def user_for(folder: Path) -> SystemUser | None:
    """Return the user for PostgreSQL with its files in `folder`. None is the current user.

    The folder need not exist. Raises ProcessFailed if there is no such user and none can be made.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (status := folder.stat()).st_uid != 0:
        return SystemUser(status.st_uid, status.st_gid)
    entry = _server_user()
    return SystemUser(entry.pw_uid, entry.pw_gid)


def allow_traversal(path: Path, user: SystemUser) -> list[Path]:
    """Let `user` traverse, but not list, the folders above `path`. Return the folders that were changed."""
    changed = []
    for parent in path.parents:
        status = parent.stat()
        if status.st_uid != user.uid and not status.st_mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
            changed.append(parent)
    return changed


def make_executable_by_all(root: Path) -> None:
    """Let every user read and run a tree of programs that was installed under a strict umask."""
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
    """Find or make the user. If making it fails, look again: another run may be making it now."""
    if (entry := _look_up()) is not None:
        return entry
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise ProcessFailed(
            f"PostgreSQL does not run as root: make a system user named {NAME}, or run as another user"
        )
    made = subprocess.run(  # noqa: S603 - a fixed command.
        [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    deadline = time.monotonic() + _CREATED_WITHIN_S
    while (entry := _look_up()) is None:
        if time.monotonic() > deadline:
            raise ProcessFailed(f"the system user {NAME} cannot be made: {made.stderr.strip()}")
        time.sleep(0.05)
    return entry


def _look_up() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None
