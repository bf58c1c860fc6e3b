"""The beacon that decides draws: the sandbox's own, or drand's."""

from urllib.parse import urlsplit

from engage.beacons.drand import DrandBeacon
from engage.beacons.port import Beacon
from engage.beacons.sandbox import SandboxBeacon
from engage.settings import Settings, SettingsError


def open_beacon(settings: Settings) -> Beacon:
    """Raises SettingsError where the relays are no addresses."""
    if settings.sandbox is not None:
        return SandboxBeacon(settings.peppers[-1])
    relays = [relay.strip() for relay in settings.drand_urls.split(",") if relay.strip()]
    wrong = [
        relay
        for relay in relays
        if urlsplit(relay).scheme not in ("http", "https") or not urlsplit(relay).hostname
    ]
    if wrong or not relays:
        raise SettingsError(
            "ENGAGE_DRAND_URLS: expected addresses of relays, separated by commas, got "
            f"{settings.drand_urls!r}"
        )
    return DrandBeacon(relays)
