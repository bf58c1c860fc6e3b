"""The network of a client: only proxies that we trust may say for whom they ask."""

from ipaddress import ip_address

import pytest

from engage.connections.networks import client_address, network_name, parse_networks

TRUSTED = parse_networks("10.0.0.0/8, fd00::/8")
XFF = "x-forwarded-for"


def client(peer: str, *values: bytes, header: str = XFF) -> str:
    return str(client_address(peer, header, values, TRUSTED))


def test_a_header_of_a_stranger_means_nothing() -> None:
    assert client("203.0.113.9", b"198.51.100.7") == "203.0.113.9"


def test_without_trusted_proxies_no_header_means_anything() -> None:
    assert client_address("10.0.0.1", XFF, [b"198.51.100.7"], ()) == ip_address("10.0.0.1")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"198.51.100.7"], "198.51.100.7"),
        ([b"1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # The client wrote the first one.
        ([b"1.1.1.1", b"198.51.100.7"], "198.51.100.7"),
        ([b"1.1.1.1, 198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        ([b"198.51.100.7:4711"], "198.51.100.7"),
        ([b"2001:db8::7"], "2001:db8::7"),
        ([b"[2001:db8::7]:4711"], "2001:db8::7"),
        ([b"::ffff:198.51.100.7"], "198.51.100.7"),
        ([b"10.2.3.4"], "10.2.3.4"),  # A client inside.
        ([], "10.0.0.1"),
        ([b""], "10.0.0.1"),
        ([b"1.1.1.1, unknown"], "10.0.0.1"),
        ([b"1.1.1.1, _hidden, 10.2.3.4"], "10.2.3.4"),
        ([b"1.1.1.1, 300.1.1.1"], "10.0.0.1"),
        ([b"1.1.1.1, \xff\x00"], "10.0.0.1"),
        ([b"1.1.1.1, " + b"9" * 60_000], "10.0.0.1"),
    ],
)
def test_the_right_most_address_that_is_not_of_a_proxy_is_the_clients(
    values: list[bytes], expected: str
) -> None:
    assert client("10.0.0.1", *values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"for=198.51.100.7"], "198.51.100.7"),
        ([b'For="198.51.100.7:4711";proto=https;by=10.0.0.9'], "198.51.100.7"),
        ([b'for=1.1.1.1, proto=https;for="[2001:db8::7]:80"'], "2001:db8::7"),
        ([b"for=1.1.1.1, for=_secret"], "10.0.0.1"),
        ([b"by=1.1.1.1"], "10.0.0.1"),
        ([b"for=1.1.1.1;for=2.2.2.2"], "1.1.1.1"),
    ],
)
def test_the_standard_header_is_read_too(values: list[bytes], expected: str) -> None:
    assert client("10.0.0.1", *values, header="forwarded") == expected


def test_a_chain_without_an_end_is_read_from_the_right_only() -> None:
    assert client("10.0.0.1", b"198.51.100.7" + b", 10.0.0.2" * 100_000) == "10.0.0.2"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:ff42::7", "2001:db8:1:ff00::/56"),
    ],
)
def test_neighbours_are_one_network(address: str, network: str) -> None:
    assert network_name(ip_address(address)) == network


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="proxies"):
        parse_networks("10.0.0.0/8, proxies")


def test_what_is_no_address_has_none() -> None:
    assert client_address("", XFF, [], TRUSTED) is None
    assert client_address("/run/engage.sock", XFF, [], TRUSTED) is None
