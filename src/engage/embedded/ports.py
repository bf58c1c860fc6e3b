"""TCP ports of this machine."""

import socket


def free_port(host: str) -> int:
    """Return a port that is free now."""
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


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
