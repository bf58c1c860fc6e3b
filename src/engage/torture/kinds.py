"""All faults by name: on what, for how long, with which parameters. Pure; `faults` has what they do."""

from msgspec import Struct

from engage.torture.parts import APIS, FEED, POSTGRES, PROCESSES, SERVERS, VALKEYS, WORKERS

# Both longer than a request waits and shorter than a supervisor does.
SHORT_S, LONG_S = 0.5, 6.0

CLOCK_OFF_S = 25 * 3600.0


class Kind(Struct, frozen=True, kw_only=True):
    """A fault that a plan can have. One without length ends at once."""

    name: str
    text: str
    targets: tuple[str, ...]
    shortest_s: float = SHORT_S
    longest_s: float = LONG_S
    parameters: dict[str, tuple[float, ...]] = {}


def _at_once(name: str, text: str, targets: tuple[str, ...]) -> Kind:
    return Kind(name=name, text=text, targets=targets, shortest_s=0, longest_s=0)


LINKS = tuple(f"{process}/{server}" for process in PROCESSES for server in SERVERS)
TO_POSTGRES = tuple(f"{process}/{POSTGRES}" for process in PROCESSES)
ALL_TO_SERVERS = tuple(f"*/{server}" for server in SERVERS)

KINDS = {
    kind.name: kind
    for kind in (
        _at_once("kill", "SIGKILL of a process or server", (*PROCESSES, *SERVERS)),
        Kind(name="stop", text="SIGSTOP, then SIGCONT", targets=(*PROCESSES, *SERVERS)),
        _at_once("kill-backend", "SIGKILL of one of PostgreSQL's processes", (POSTGRES,)),
        _at_once("end-backends", "an operator ends all connections of PostgreSQL", (POSTGRES,)),
        Kind(
            name="commit-kill",
            text="SIGKILL between a commit and its answer",
            targets=(*APIS, *WORKERS),
            shortest_s=5.0,
            longest_s=5.0,
        ),
        Kind(
            name="commit-cut",
            text="the connection lost between a commit and its answer",
            targets=(*APIS, *WORKERS),
            shortest_s=5.0,
            longest_s=5.0,
        ),
        _at_once("cut", "connections reset", (*LINKS, *ALL_TO_SERVERS)),
        Kind(name="refuse", text="connections refused", targets=(*LINKS, *ALL_TO_SERVERS)),
        Kind(
            name="blackhole",
            text="connections silent, and silent for ever",
            targets=(*LINKS, *ALL_TO_SERVERS),
        ),
        Kind(
            name="slow",
            text="each packet late",
            targets=(*LINKS, *ALL_TO_SERVERS),
            parameters={"delay_s": (0.01, 0.05, 0.2)},
        ),
        _at_once("empty", "Valkey emptied", VALKEYS),
        Kind(name="pause", text="Valkey paused", targets=VALKEYS),
        Kind(name="read-only", text="Valkey a replica", targets=VALKEYS),
        Kind(name="no-replicas", text="Valkey without the replicas it needs", targets=VALKEYS),
        Kind(name="memory-full", text="Valkey's memory full", targets=VALKEYS),
        Kind(name="older-file", text="Valkey restarted with an older append-only file", targets=VALKEYS),
        Kind(name="database-read-only", text="PostgreSQL read-only", targets=(POSTGRES,)),
        Kind(name="connections-full", text="PostgreSQL's connections all taken", targets=(POSTGRES,)),
        Kind(name="disk-full", text="the disk full", targets=("disk",), longest_s=4.0),
        Kind(
            name="clock",
            text="a machine's clock 25 h off",
            targets=(*APIS, FEED, *WORKERS),
            parameters={"ahead_s": (CLOCK_OFF_S, -CLOCK_OFF_S)},
        ),
    )
}
