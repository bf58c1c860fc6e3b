"""Origins of requests: networks of clients, known by keyed hashes only."""

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from engage.connections.networks import Address, client_address, network_name, parse_networks
from engage.domain.identity import Identity, Origin
from engage.live_settings import LiveSettings
from engage.settings import SettingsError

HASH_BYTES: Final = 16
NETWORKS_CACHED: Final = 65_536

Headers = Iterable[tuple[bytes, bytes]]  # Names in lower case.


class Origins:
    """Finds the networks of clients. Costs nothing until asked. Raises SettingsError for a wrong list."""

    def __init__(self, live: LiveSettings) -> None:
        settings = live.now
        try:
            self._trusted = parse_networks(settings.trusted_proxies)
        except ValueError as error:
            raise SettingsError(f"ENGAGE_TRUSTED_PROXIES: {error}") from error
        self._header = settings.forwarded_header
        self._name = settings.forwarded_header.encode()
        self._live = live
        live.listen("pepper", self._take_pepper)

    def _take_pepper(self) -> None:
        key = self._live.now.peppers[0].encode()
        self._hash = lru_cache(NETWORKS_CACHED)(
            lambda name: hmac.digest(key, b"network\0" + name.encode(), hashlib.sha256)[:HASH_BYTES]
        )

    def network(self, peer: str, headers: Headers) -> bytes:
        """Return the keyed hash of the network of a client; nothing where it has no address.

        `peer` is the address of the connection. Headers count only if it is that of a trusted proxy.
        """
        address = self._address(peer, headers)
        return b"" if address is None else self._hash(network_name(address))

    def public_network(self, peer: str, headers: Headers) -> bytes | None:
        """The same; None for a private network, in which there may be proxies that nobody has named."""
        address = self._address(peer, headers)
        return self._hash(network_name(address)) if address is not None and address.is_global else None

    def _address(self, peer: str, headers: Headers) -> Address | None:
        sent = (value for name, value in headers if name == self._name) if self._trusted else ()
        return client_address(peer, self._header, sent, self._trusted)

    def origin(self, member: Identity, peer: str, headers: Headers) -> Origin:
        """Return where a member's request comes from."""
        return Origin(member.device, member.attested, self.network(peer, headers))
