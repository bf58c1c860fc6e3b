"""Networks of clients, by the address of a connection or the one that a trusted proxy sends."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What one household or one cell of a mobile network usually has.
PREFIX_IPV4: Final = 24
PREFIX_IPV6: Final = 56

# Proxies in front of us. A client can write any number of addresses into the header.
LONGEST_CHAIN: Final = 16

LONGEST_ADDRESS: Final = 64  # Characters. What is longer is not kept in memory.

_FOR: Final = re.compile(r"""(?:^|;)\s*for\s*=\s*("[^"]*"|[^\s;,]+)""", re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::[0-9]{1,5})?")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse networks or addresses between commas. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(
    peer: str, header: str, values: Iterable[bytes], trusted: Sequence[Network]
) -> Address | None:
    """Return the address of a client: the peer's, or the one that trusted proxies send; None for none.

    `values` are those of the header `x-forwarded-for` or `forwarded`. Each proxy appends the address that it
    sees, so the right-most one that is not of a proxy is the client's: what is left of it, the client wrote.
    Where a proxy sends no address, the proxy is the client.
    """
    found = _address(peer)
    if found is None or not _is_of(found, trusted):
        return found
    for text in _chain(header, values):
        sent = _address(text) if len(text) <= LONGEST_ADDRESS else None
        if sent is None:
            return found
        found = sent
        if not _is_of(found, trusted):
            return found
    return found


@lru_cache(65_536)
def network_name(address: Address) -> str:
    """Return the network of an address, such as `203.0.113.0/24`."""
    prefix = PREFIX_IPV4 if address.version == 4 else PREFIX_IPV6
    return str(ip_network((address, prefix), strict=False))


def _chain(header: str, values: Iterable[bytes]) -> Iterable[str]:
    """Yield the addresses of a header, from the nearest on."""
    elements = b",".join(values).decode("latin-1").rsplit(",", LONGEST_CHAIN)
    for element in reversed(elements[-LONGEST_CHAIN:]):
        if header == "x-forwarded-for":
            yield element
        else:
            found = _FOR.search(element)
            yield found[1].strip('"') if found else ""


@lru_cache(65_536)
def _address(text: str) -> Address | None:
    """Read `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; None for anything else."""
    bare = text.strip().partition("%")[0]
    with_port = _WITH_PORT.fullmatch(bare)
    try:
        address = ip_address(with_port[1].strip("[]") if with_port else bare)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


def _is_of(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
