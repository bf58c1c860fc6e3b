"""The countries and rules of all versions of a program, which forms about campaigns offer."""

from collections.abc import Mapping, Sequence

from engage.domain.market import Market
from engage.domain.program.program import Program


def markets_of(versions: Sequence[Program]) -> Mapping[str, Market]:
    """The countries of a program, each as its newest version has it. Versions may be for some of them."""
    return {country: market for version in versions for country, market in version.countries.items()}


def rules_of(versions: Sequence[Program], language: str) -> Mapping[str, str]:
    """The titles of a program's rules by their ids, those of the newest version first."""
    titles: dict[str, str] = {}
    for version in reversed(versions):
        for rule in version.rules:
            titles.setdefault(rule.id, rule.title_in(language))
    return titles
