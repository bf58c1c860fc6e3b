"""The payout provider that the settings name."""

from engage.payouts.port import PayoutProvider
from engage.payouts.sandbox import SandboxProvider
from engage.settings import Settings, SettingsError


def open_provider(settings: Settings) -> PayoutProvider | None:
    """None if the settings name none: withdrawals wait then. Raises SettingsError."""
    match settings.payouts:
        case "momo":
            # Imported only here: HTTP and currency tables take longer to import than most commands run.
            from engage.payouts.momo import MomoAccount, MomoProvider

            secrets = ("momo_subscription_key", "momo_user", "momo_key")
            missing = [f"ENGAGE_{name.upper()}" for name in secrets if not getattr(settings, name)]
            if missing:
                raise SettingsError(f"not set, though payouts go by MoMo: {', '.join(missing)}")
            return MomoProvider(
                MomoAccount(
                    settings.momo_url,
                    settings.momo_environment,
                    settings.momo_subscription_key,
                    settings.momo_user,
                    settings.momo_key,
                )
            )
        case "sandbox":
            return SandboxProvider()
        case "" if settings.sandbox is not None:
            return SandboxProvider()
        case _:
            return None
