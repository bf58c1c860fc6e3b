"""Errors of an installation's folder and processes. Each message is one line, written for the user.

InstallationError
├── FolderInUse
├── FolderUnusable
└── ProcessFailed
"""

from pathlib import Path


class InstallationError(Exception):
    """An expected failure, shown to the user without a traceback."""


class FolderInUse(InstallationError):
    """Another process has locked the folder."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = "another program" if pid is None else f"the running program with pid {pid}"
        super().__init__(f"{path} is in use by {holder}")
        self.pid = pid


class FolderUnusable(InstallationError):
    """The folder cannot be created, belongs to another user, or contains other files."""


class ProcessFailed(InstallationError):
    """A server or another process did not start."""
