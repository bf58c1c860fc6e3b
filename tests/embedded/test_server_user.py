"""PostgreSQL's own user gets where it must, and no further."""

import stat
from pathlib import Path

from engage.embedded.child import Owner
from engage.embedded.server_user import open_the_way, open_tree

SOMEONE = Owner(65_534, 65_534)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folders_above_can_be_passed_through_and_not_listed(tmp_path: Path) -> None:
    closed, inner = tmp_path / "closed", tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    closed.chmod(0o700)
    assert closed in open_the_way(inner, SOMEONE)
    assert mode(closed) == 0o701
    assert open_the_way(inner, SOMEONE) == []


def test_programs_installed_under_a_strict_umask_can_be_run(tmp_path: Path) -> None:
    tree, program, text = tmp_path / "tree", tmp_path / "tree" / "program", tmp_path / "tree" / "text"
    tree.mkdir(mode=0o700)
    program.touch(mode=0o700)
    text.touch(mode=0o600)
    (tree / "link").symlink_to("nowhere")
    open_tree(tree)
    assert (mode(tree), mode(program), mode(text)) == (0o755, 0o755, 0o644)
