"""The secrets of a sandbox are made once, and each of them stays."""

from pathlib import Path

import msgspec
import pytest

from engage import sandbox_secrets
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import FolderUnusable
from engage.embedded.secrets import ensure


def test_secrets_stay(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    made = ensure(folder)
    assert ensure(folder) == made == sandbox_secrets.read(folder.sandbox)


def test_an_older_folder_gets_what_it_lacks_and_keeps_the_rest(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    made = ensure(folder)
    older = msgspec.json.decode(folder.sandbox.read_bytes())
    del older["approver_key"]
    folder.sandbox.write_bytes(msgspec.json.encode(older))
    completed = ensure(folder)
    assert completed.approver_key not in ("", made.approver_key, made.admin_key)
    assert msgspec.structs.replace(completed, approver_key=made.approver_key) == made
    assert ensure(folder) == completed
    assert folder.sandbox.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "[]", '{"shop_key": 1}', '{"pepper": "x", "another": "y"}'])
def test_a_file_that_holds_something_else_is_not_used(tmp_path: Path, content: str) -> None:
    folder = DataFolder(tmp_path)
    folder.sandbox.write_text(content)
    with pytest.raises(FolderUnusable, match="cannot be read"):
        ensure(folder)
