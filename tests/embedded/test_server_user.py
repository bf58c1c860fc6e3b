"""The user of PostgreSQL gets the permissions it needs, and no more."""

import stat
from pathlib import Path

from engage.embedded.child_process import SystemUser
from engage.embedded.server_user import allow_traversal, make_executable_by_all

OTHER_USER = SystemUser(65_534, 65_534)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_parent_folders_can_be_traversed_but_not_listed(tmp_path: Path) -> None:
    closed, inner = tmp_path / "closed", tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    closed.chmod(0o700)
    assert closed in allow_traversal(inner, OTHER_USER)
    assert mode(closed) == 0o701
    assert allow_traversal(inner, OTHER_USER) == []


def test_programs_installed_under_a_strict_umask_can_be_run(tmp_path: Path) -> None:
    tree, program, text = tmp_path / "tree", tmp_path / "tree" / "program", tmp_path / "tree" / "text"
    tree.mkdir(mode=0o700)
    program.touch(mode=0o700)
    text.touch(mode=0o600)
    (tree / "link").symlink_to("nowhere")
    make_executable_by_all(tree)
    assert (mode(tree), mode(program), mode(text)) == (0o755, 0o755, 0o644)
