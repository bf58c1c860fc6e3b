"""TCP ports of this machine."""

import random
import socket
from pathlib import Path

# The range from which the system gives ports to clients' connections. A server that restarts can lose a port
# of it to any connection of that moment.
CLIENTS_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_PORT = 10_240
TRIES = 50


def free_port(host: str) -> int:
    """Return a port that is free now, and that the system gives to no client where there are such ports."""
    for port in _outside_clients_range():
        if listen_error(host, port) is None:
            return port
    with _socket(host) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def listen_error(host: str, port: int) -> str | None:
    """Return the system's error if nobody can listen on the port, or None if it is free."""
    try:
        with _socket(host) as probe:
            # Ignore closing connections of an earlier run.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _outside_clients_range() -> list[int]:
    try:
        lowest, highest = map(int, CLIENTS_RANGE.read_text().split())
    except (OSError, ValueError):
        return []
    known = [*range(LOWEST_PORT, lowest), *range(highest + 1, 65_536)]
    return random.sample(known, min(TRIES, len(known)))


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
