"""A benchmark says before it fills a disk whether there is room, and how far the disk goes."""

import shutil
from pathlib import Path

import pytest

from engage.bench.errors import BenchmarkFailed
from engage.bench.setup.disk_space import check_space, needed_bytes

POPULATIONS = (10_000, 1_000_000)


def test_what_does_not_fit_is_refused_with_what_would_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = needed_bytes(POPULATIONS, 7)
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "GB free" in check_space(tmp_path, POPULATIONS, 7)
    with pytest.raises(BenchmarkFailed, match="there is room for 7 credits each"):
        check_space(tmp_path, POPULATIONS, 8)


def test_more_members_than_the_disk_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="no room for 10,000,000,000,000 members"):
        check_space(tmp_path, (10_000_000_000_000,), 1)
