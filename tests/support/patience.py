"""The product's time limits are long in tests: a busy machine is no failure of something else.

Tests about such a limit use the fixture `real_time_limits`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pkgutil import resolve_name
from typing import Any

import pytest

LONG = {
    "engage.api.http.context.REQUEST_TIMEOUT_S": 60.0,
    "engage.connections.postgres.CONNECT_S": 60.0,
    "engage.connections.postgres.POOL_S": 60.0,
    "engage.connections.postgres.SILENT_IN_TRANSACTION_S": 3600,  # A test that holds a lock is silent.
    "engage.connections.postgres.TEST_S": 60.0,
    "engage.connections.valkey.ANSWER_S": 60.0,
    "engage.connections.valkey.TRY_S": 60.0,
    "engage.flows.campaigns.act.COMMITS_WITHIN": timedelta(minutes=1),
}
REAL = {name: resolve_name(name) for name in LONG}


@contextmanager
def time_limits(limits: Mapping[str, Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name, limit in limits.items():
            patched.setattr(name, limit)
        yield
