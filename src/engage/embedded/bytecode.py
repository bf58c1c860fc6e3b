"""Compiled Python, kept where Python has been told to keep none.

Many images set PYTHONDONTWRITEBYTECODE, against files beside the sources. Each part would then compile all
that it imports at each start, which takes seconds; in the data folder the files are nobody's litter.
"""

import sys

from engage.embedded.data_folder import DataFolder


def keep_own(folder: DataFolder) -> None:
    """For what this program imports from now on."""
    if sys.dont_write_bytecode:
        sys.pycache_prefix = str(folder.bytecode)
        sys.dont_write_bytecode = False


def environment(folder: DataFolder) -> dict[str, str]:
    """For a child that is Python."""
    if not sys.dont_write_bytecode and sys.pycache_prefix != str(folder.bytecode):
        return {}
    # An empty variable counts as none.
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder.bytecode)}
