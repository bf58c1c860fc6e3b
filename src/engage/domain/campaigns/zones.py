"""The time zones in which a campaign begins and ends: those of the program's countries that it is for."""

from collections.abc import Sequence

from engage.domain.campaigns.definition import MEMBER_ZONE, Campaign
from engage.domain.program.program import Program


def zones_of(campaign: Campaign, versions: Sequence[Program]) -> list[str]:
    """At least one zone. `versions` are those of the program; a country's zone is that of its newest one."""
    if campaign.zone != MEMBER_ZONE:
        return [campaign.zone]
    zones = country_zones(versions)
    countries = zones.keys() if campaign.audience.countries is None else campaign.audience.countries
    return sorted({zones[country] for country in countries if country in zones}) or ["UTC"]


def country_zones(versions: Sequence[Program]) -> dict[str, str]:
    """The zone of each country in which the program is, or will be, or was offered."""
    return {country: market.zone for version in versions for country, market in version.countries.items()}
