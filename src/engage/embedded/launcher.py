"""Starts each child: python -I -S launcher.py <parent pid> <signal> <uid> <gid> <command> <argument>…

Asks the kernel to send the signal to the child when the parent dies, switches to the given user (-1: none),
then replaces itself with the command. It delays every child, so it imports little.
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
    # After the change of user, which clears the setting.
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
