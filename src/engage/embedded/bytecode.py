"""Compiled Python files in the data folder, where Python may not write them beside the sources.

Many images set PYTHONDONTWRITEBYTECODE. Each process would then compile all its imports at each start, which
takes seconds.
"""

import sys

from engage.embedded.data_folder import DataFolder


def enable(folder: DataFolder) -> None:
    """Write the compiled files of this process's later imports to the data folder."""
    if sys.dont_write_bytecode:
        sys.pycache_prefix = str(folder.bytecode)
        sys.dont_write_bytecode = False


def environment(folder: DataFolder) -> dict[str, str]:
    """Return the environment variables that do the same in a Python child."""
    if not sys.dont_write_bytecode and sys.pycache_prefix != str(folder.bytecode):
        return {}
    # Python treats an empty variable as unset.
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder.bytecode)}
