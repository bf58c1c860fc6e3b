"""Stands before every child: python -I -S guard.py <parent> <signal> <uid> <gid> <command> <argument>…

It asks the kernel to signal the child when its parent dies, however it dies, and takes on the child's user if
one is given (-1 is none); then it becomes the child. It is in every child's way, so it imports little.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(command: list[str], parent: int, number: int, uid: int, gid: int) -> None:
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # Only now: a change of user takes the wish back.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the parent is gone already")
    try:
        os.execv(command[0], command)  # noqa: S606 - there is no shell.
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[5:], *map(int, sys.argv[1:5]))
