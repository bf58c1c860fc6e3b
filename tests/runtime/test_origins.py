"""Origins of requests: the same network has one keyed hash, and no other installation the same."""

import pytest
from msgspec.structs import replace

from engage.domain.identity import Identity, Origin
from engage.live_settings import LiveSettings
from engage.runtime.origins import Origins
from engage.settings import Settings, SettingsError

SETTINGS = Settings(
    database_url="", state_url="", queue_url="", topics_url="", pepper="pepper", trusted_proxies="10.0.0.0/8"
)
ANA = Identity("eu-mi-points", "ana", 2_000_000_000, "key", device=b"hash", attested=True)
FORWARDED = [(b"host", b"shop"), (b"x-forwarded-for", b"203.0.113.9")]


def test_a_network_is_known_again() -> None:
    origins = Origins(LiveSettings(SETTINGS))
    one = origins.network("203.0.113.9", [])
    assert one == origins.network("203.0.113.200", []) == origins.network("10.0.0.1", FORWARDED)
    assert one != origins.network("203.0.114.9", FORWARDED)


def test_only_the_header_that_the_proxy_writes_counts() -> None:
    """A proxy passes on the other one as a client wrote it."""
    origins = Origins(LiveSettings(replace(SETTINGS, forwarded_header="forwarded")))
    assert origins.network("10.0.0.1", FORWARDED) == origins.network("10.0.0.1", [])


def test_the_hash_means_nothing_to_others() -> None:
    ours = Origins(LiveSettings(SETTINGS)).network("203.0.113.9", [])
    assert ours != Origins(LiveSettings(replace(SETTINGS, pepper="another"))).network("203.0.113.9", [])
    assert b"203.0" not in ours


def test_the_device_comes_from_the_token_alone() -> None:
    origins = Origins(LiveSettings(SETTINGS))
    network = origins.network("203.0.113.9", [])
    spoken = [(b"device", b"other"), (b"x-device", b"other")]
    assert origins.origin(ANA, "203.0.113.9", spoken) == Origin(b"hash", True, network)


@pytest.mark.parametrize("peer", ["", "/run/engage.sock", "203.0.113"])
def test_clients_without_a_readable_address_share_no_network(peer: str) -> None:
    """Else a rule for a network would hold the points of all of them."""
    assert Origins(LiveSettings(SETTINGS)).network(peer, []) == b""


def test_a_wrong_list_of_proxies_ends_the_start() -> None:
    with pytest.raises(SettingsError, match="ENGAGE_TRUSTED_PROXIES"):
        Origins(LiveSettings(replace(SETTINGS, trusted_proxies="10.0.0.0/8;192.168.0.0/16")))
