"""What can be wrong with an installation's folder and its servers. Each message is one line for its user.

InstallationError
├── FolderInUse
├── FolderUnusable
└── PartFailed
"""

from pathlib import Path


class InstallationError(Exception):
    """An expected failure: shown as it is, without a traceback."""


class FolderInUse(InstallationError):
    """Another running program holds the folder."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = "another program" if pid is None else f"the running program with pid {pid}"
        super().__init__(f"{path} is in use by {holder}")
        self.pid = pid


class FolderUnusable(InstallationError):
    """The folder cannot be made, belongs to someone else, or holds something else."""


class PartFailed(InstallationError):
    """A server or a part did not come up."""
