"""ISO and IANA codes: countries, time zones, currencies.

The tables come with packages, not from the machine, so validation gives the same result everywhere.
"""

from functools import cache
from importlib import resources


@cache
def zones() -> frozenset[str]:
    """IANA time zones, older names included."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(listed.split()) - {"Factory"}


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes, from the time zone database."""
    table = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line[:2] for line in table.splitlines() if line and not line.startswith("#"))


@cache
def currencies() -> frozenset[str]:
    """ISO 4217 codes, former currencies included."""
    from babel.core import get_global  # Here, because this import is slower than the rest of a check.

    return frozenset(get_global("all_currencies"))


def decimals(currency: str) -> int:
    """Decimal digits of a currency: 2 for the euro, 0 for the CFA franc."""
    from babel.core import get_global  # As above.

    fractions = get_global("currency_fractions")
    found: int = fractions.get(currency, fractions["DEFAULT"])[0]
    return found
