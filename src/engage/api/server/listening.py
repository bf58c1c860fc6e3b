"""The listening socket: several processes can share its port, and it can be closed without a refusal."""

import ctypes
import socket
import struct
import sys
from typing import Final

# Connections that wait to be accepted. The kernel cuts it to net.core.somaxconn.
BACKLOG: Final = 4_096

# A peer that takes nothing of what we send is given up after this.
UNACKNOWLEDGED_MS: Final = 20_000

# A peer that has gone without a word is noticed after IDLE_S + PROBES * INTERVAL_S.
IDLE_S: Final = 15
INTERVAL_S: Final = 5
PROBES: Final = 3

_SO_ATTACH_FILTER: Final = 26  # Of Linux; the socket module does not name it.


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind and listen; accepted connections inherit the options. Raises OSError.

    SO_REUSEPORT lets the next process of the same user listen before this one ends.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_S)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def turn_newcomers_away(fd: int) -> None:
    """Let the kernel drop the first packet of each new connection. What has begun can still be accepted.

    Closing a listening socket resets the connections that wait in it. A client whose first packet was dropped
    sends it again after a second, to the process that shares the port by then. Does nothing but on Linux.
    """
    if sys.platform != "linux":
        return
    # Classic BPF on the TCP header: drop the packet if of SYN and ACK only SYN is set, else keep it.
    instructions = (
        (0x30, 0, 0, 13),  # Load the byte of the flags.
        (0x54, 0, 0, 0x12),  # Keep SYN and ACK of it.
        (0x15, 0, 1, 0x02),  # If only SYN is left, go on; else skip one.
        (0x06, 0, 0, 0),  # Return a length of 0: drop.
        (0x06, 0, 0, 0xFFFF),  # Return a length of all: keep.
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    pointer = struct.pack("HP", len(instructions), ctypes.addressof(program))
    listening = socket.socket(fileno=fd)
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
    finally:
        listening.detach()
