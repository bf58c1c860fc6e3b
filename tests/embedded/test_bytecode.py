"""Compiled files go to the data folder only where Python may not write them beside the sources."""

import sys
from pathlib import Path

import pytest

from engage.embedded import bytecode
from engage.embedded.data_folder import folder_at


def test_compiled_files_go_to_the_folder_only_where_python_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    bytecode.enable(folder)
    assert (sys.pycache_prefix, bytecode.environment(folder)) == (None, {})

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    bytecode.enable(folder)
    assert (sys.pycache_prefix, sys.dont_write_bytecode) == (str(tmp_path / "bytecode"), False)
    assert bytecode.environment(folder) == {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
    }
