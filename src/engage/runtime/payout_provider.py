"""The payout provider that the settings name."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engage.live_settings import LiveSettings
from engage.payouts.port import PayoutProvider
from engage.payouts.sandbox import SandboxProvider
from engage.settings import Settings, SettingsError, values_of

if TYPE_CHECKING:
    from engage.payouts.momo import MomoAccount

_SECRETS = ("momo_subscription_key", "momo_user", "momo_key")


def open_provider(live: LiveSettings) -> PayoutProvider | None:
    """None if the settings name none: withdrawals wait then. Raises SettingsError."""
    settings = live.now
    match settings.payouts:
        case "momo":
            # Imported only here: HTTP and currency tables take longer to import than most commands run.
            from engage.payouts.momo import MomoProvider

            missing = [f"ENGAGE_{name.upper()}" for name in _SECRETS if not getattr(settings, name)]
            if missing:
                raise SettingsError(f"not set, though payouts go by MoMo: {', '.join(missing)}")
            return MomoProvider(_accounts(live))
        case "sandbox":
            return SandboxProvider()
        case "" if settings.sandbox is not None:
            return SandboxProvider()
        case _:
            return None


def _accounts(live: LiveSettings) -> Callable[[], "Sequence[MomoAccount]"]:
    """The accounts of MoMo: the first values of the secrets make the first one, and so on. Where one secret
    has fewer values than another, its last one goes on.
    """
    from engage.payouts.momo import MomoAccount

    read = [live.reader(name) for name in _SECRETS]

    def accounts() -> Sequence[MomoAccount]:
        secrets = [values_of(each()) for each in read]
        sets = [
            tuple(values[min(number, len(values) - 1)] for values in secrets)
            for number in range(max(map(len, secrets)))
        ]
        settings: Settings = live.now
        return [MomoAccount(settings.momo_url, settings.momo_environment, *each) for each in sets]

    return accounts
