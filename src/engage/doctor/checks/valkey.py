"""Checks of the Valkey servers, by role, and of servers without an answer."""

from collections.abc import Iterator, Sequence
from typing import Final

from engage.doctor.check import Check, Facts
from engage.doctor.observations import Absence, ValkeySeen

SLOW_MS: Final = 10.0
FULL: Final = 0.9


def _absent(absences: Sequence[Absence]) -> Iterator[Facts]:
    for absence in absences:
        yield {"server": absence.server, "reason": absence.reason}


def _too_old(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.too_old:
            yield {"role": server.role, "reason": server.too_old}


def _replica(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.is_replica and not server.is_cluster:
            yield {"role": server.role, "variable": variable_of(server)}


def _refuses_writes(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.write_error and not server.is_replica:
            yield {"role": server.role, "reason": server.write_error}


def _is_cluster(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.is_cluster and server.role == "queue":
            yield {"role": server.role, "variable": variable_of(server)}


def _cluster_down(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.role != "queue" and server.is_cluster and server.cluster_state != "ok":
            yield {"role": server.role, "state": server.cluster_state}


def _evicts_jobs(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.role == "queue" and server.eviction_policy != "noeviction":
            yield {"policy": server.eviction_policy}


def _evicts_state(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.role == "state" and server.eviction_policy not in ("noeviction", "volatile-ttl"):
            yield {"policy": server.eviction_policy}


def _forgets_jobs(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.role == "queue" and not server.has_aof:
            yield {}


def _aof_fails(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.aof_fails:
            yield {"role": server.role}


def _full(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.most_bytes and server.used_bytes > FULL * server.most_bytes:
            yield {"role": server.role, "percent": 100 * server.used_bytes // server.most_bytes}


def _no_library(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        for name, known in server.libraries.items():
            if known is None:
                yield {"name": name}


def _other_library(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        for name, known in server.libraries.items():
            if known is False:
                yield {"name": name}


def _slow(seen: Sequence[ValkeySeen]) -> Iterator[Facts]:
    for server in seen:
        if server.answer_ms > SLOW_MS:
            yield {"role": server.role, "ms": f"{server.answer_ms:.0f}"}


def variable_of(server: ValkeySeen) -> str:
    return f"ENGAGE_{server.role.upper()}_URL"


CHECKS = (
    Check(
        "server_away",
        "absences",
        "error",
        "{server} does not answer: {reason}.",
        "Start it, and see that this machine reaches it: address, port, firewall, password. Nothing is lost: "
        "requests are refused with Retry-After meanwhile.",
        _absent,
    ),
    Check(
        "valkey_too_old",
        "valkeys",
        "error",
        "The server of the {role} does not do: {reason}.",
        "Install Valkey 8 or later.",
        _too_old,
    ),
    Check(
        "valkey_replica",
        "valkeys",
        "error",
        "The Valkey of the {role} is a replica: it refuses writes.",
        "Let {variable} name the primary, or promote this one (REPLICAOF NO ONE).",
        _replica,
    ),
    Check(
        "valkey_refuses_writes",
        "valkeys",
        "error",
        "The Valkey of the {role} answers, and refuses writes: {reason}.",
        "Free its disk or its memory, and see its log.",
        _refuses_writes,
    ),
    Check(
        "valkey_is_cluster",
        "valkeys",
        "error",
        "The Valkey of the {role} is a Cluster, which cannot serve as such.",
        "Let {variable} name a single server. Only state and topics may be Clusters.",
        _is_cluster,
    ),
    Check(
        "cluster_down",
        "valkeys",
        "error",
        "The Cluster of the {role} is not whole: {state}.",
        "Bring its primaries back, or let replicas take over (CLUSTER FAILOVER): some slots have no server.",
        _cluster_down,
    ),
    Check(
        "queue_evicts",
        "valkeys",
        "error",
        "The Valkey of the queue may drop jobs when its memory is full (maxmemory-policy is {policy}).",
        "CONFIG SET maxmemory-policy noeviction, and write it into its configuration.",
        _evicts_jobs,
    ),
    Check(
        "state_evicts",
        "valkeys",
        "warning",
        "The Valkey of the state drops members when its memory is full (maxmemory-policy is {policy}), also "
        "those that are active.",
        "CONFIG SET maxmemory-policy volatile-ttl, which drops those who were away longest, or noeviction. "
        "No point is lost: a dropped member costs a query.",
        _evicts_state,
    ),
    Check(
        "queue_forgets",
        "valkeys",
        "warning",
        "The Valkey of the queue has no append-only file: jobs are lost when it restarts.",
        "CONFIG SET appendonly yes, and write it into its configuration. Until then, points settle up to "
        "five seconds late after a restart.",
        _forgets_jobs,
    ),
    Check(
        "aof_fails",
        "valkeys",
        "error",
        "The Valkey of the {role} cannot write its append-only file.",
        "Free its disk, and see its log.",
        _aof_fails,
    ),
    Check(
        "valkey_full",
        "valkeys",
        "warning",
        "The Valkey of the {role} uses {percent} % of its memory.",
        "Raise maxmemory, or give it a larger machine.",
        _full,
    ),
    Check(
        "library_missing",
        "valkeys",
        "notice",
        "The Function library {name} is not in the Valkey of the state.",
        "The first request loads it. If it does not stay, see who runs FUNCTION FLUSH or FLUSHALL.",
        _no_library,
    ),
    Check(
        "library_other",
        "valkeys",
        "warning",
        "The Function library {name} in the Valkey of the state is that of another release.",
        "Run all processes of one release, and `engage rebuild` with it, which loads its library.",
        _other_library,
    ),
    Check(
        "valkey_slow",
        "valkeys",
        "warning",
        "The Valkey of the {role} takes {ms} ms for a PING. A tap waits for it.",
        "Run it near the processes, and look for slow commands of others (SLOWLOG GET).",
        _slow,
    ),
)
