"""Clients of our own servers: which of them belong together."""

import pytest

from engage.connections.clients import network_of


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:2%eth0", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("::ffff:10.0.0.1", "::1", False),
    ],
)
def test_addresses_of_one_client_or_network_count_as_one(one: str, other: str, together: bool) -> None:
    assert (network_of(one) == network_of(other)) is together
