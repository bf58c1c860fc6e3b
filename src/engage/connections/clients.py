"""Clients of our own servers: how many may connect, and which addresses belong together."""

import resource
from ipaddress import IPv6Address


def allow_clients(wanted: int, *, other_descriptors: int) -> int:
    """Raise the soft limit of descriptors as far as the hard one allows; return how many clients may connect.

    `other_descriptors` are for what is no client: servers, files, libraries.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + other_descriptors
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return max(needed - other_descriptors, needed // 2)


def network_of(address: str) -> str | bytes:
    """Return what an address counts as: an IPv6 address as the 2^64 of its network.

    A socket for both families shows IPv4 clients as `::ffff:10.0.0.1`. Each of them counts alone.
    """
    if ":" not in address:
        return address
    known = IPv6Address(address.partition("%")[0])
    return known.packed[:8] if known.ipv4_mapped is None else str(known.ipv4_mapped)
