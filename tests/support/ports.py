"""Ports for processes that tests start."""

import random

from engage.embedded.ports import listen_error

HOST = "127.0.0.1"

# Below the ports that the system gives to outgoing connections: a test beside this one cannot take them.
PORTS = range(20_000, 30_000, 2)


def server_port() -> int:
    """Return a port that is free, with the one after it: `engage up` has its feed there."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        if listen_error(HOST, port) is None and listen_error(HOST, port + 1) is None:
            return port
