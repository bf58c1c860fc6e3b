"""The world's names that a document may use: countries, time zones, currencies.

They are read from tables that come with packages, not from the machine, so a check says the same everywhere.
"""

from functools import cache
from importlib import resources


@cache
def zones() -> frozenset[str]:
    """IANA time zones, the older names among them included."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(listed.split()) - {"Factory"}


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2, as the time zone database has them."""
    table = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line[:2] for line in table.splitlines() if line and not line.startswith("#"))


@cache
def currencies() -> frozenset[str]:
    """ISO 4217, former currencies included."""
    from babel.core import get_global  # Only here: it takes longer to import than everything else of a check.

    return frozenset(get_global("all_currencies"))


def decimals(currency: str) -> int:
    """How many digits of an amount are minor units: 2 of euros, none of francs CFA."""
    from babel.core import get_global  # As above.

    fractions = get_global("currency_fractions")
    found: int = fractions.get(currency, fractions["DEFAULT"])[0]
    return found
