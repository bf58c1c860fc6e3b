"""Space on the disk that very many members and credits need."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engage.bench.errors import BenchmarkFailed

# As measured, rounded up: a settled credit with its entry and all indexes, just built; a member with
# a balance; the member in the append-only file of Valkey, of which a rewrite makes a second one.
CREDIT_BYTES: Final = 450
MEMBER_BYTES: Final = 620
STATE_BYTES: Final = 200
# What PostgreSQL sorts on the disk to build the largest index.
SORTED_BYTES: Final = 50
# Of each installation: its program's tables, its log of changes. Of the disk: what others may need.
INSTALLATION_BYTES: Final = 2_500_000_000
SPARE_BYTES: Final = 2_000_000_000


def needed_bytes(populations: Sequence[int], credits_each: int) -> int:
    """Return how much of the disk these installations take, all at once."""
    members = sum(populations)
    sorted_bytes = max(populations) * credits_each * SORTED_BYTES
    return (
        members * (MEMBER_BYTES + STATE_BYTES + credits_each * CREDIT_BYTES)
        + sorted_bytes
        + len(populations) * INSTALLATION_BYTES
        + SPARE_BYTES
    )


def check_space(folder: Path, populations: Sequence[int], credits_each: int) -> str:
    """Say what is needed and what is free. Raises BenchmarkFailed, which says how far the disk goes."""
    free, needed = shutil.disk_usage(folder).free, needed_bytes(populations, credits_each)
    sizes = f"{needed / 1e9:,.0f} GB are needed, and {free / 1e9:,.0f} GB free"
    if needed > free:
        raise BenchmarkFailed(f"{sizes}: {_how_far(free, populations)}")
    return sizes


def _how_far(free: int, populations: Sequence[int]) -> str:
    """Find the credits of each member for which there is room."""
    without = needed_bytes(populations, 0)
    each = (free - without) // (needed_bytes(populations, 1) - without)
    if each < 1:
        return f"there is no room for {max(populations):,} members"
    return f"there is room for {each} credits each"
