"""Faults: a module a kind, and a table of all by name. Each lasts as long as its context is open."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from engage.torture.faults import clocks, disk, network, postgres, signals, valkey
from engage.torture.plan import Step
from engage.torture.system import System

Fault = Callable[[System, Step], AbstractAsyncContextManager[None]]

FAULTS: Mapping[str, Fault] = {
    "kill": signals.kill,
    "stop": signals.stop,
    "kill-backend": signals.kill_backend,
    "end-backends": signals.end_backends,
    "commit-kill": network.commit_kill,
    "commit-cut": network.commit_cut,
    "cut": network.cut,
    "refuse": network.refuse,
    "blackhole": network.blackhole,
    "slow": network.slow,
    "empty": valkey.empty,
    "pause": valkey.pause,
    "read-only": valkey.read_only,
    "no-replicas": valkey.no_replicas,
    "memory-full": valkey.memory_full,
    "older-file": valkey.older_file,
    "database-read-only": postgres.read_only,
    "connections-full": postgres.connections_full,
    "disk-full": disk.disk_full,
    "clock": clocks.clock_off,
}
