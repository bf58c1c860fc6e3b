"""Find members by card number, in whatever form the number is written."""

from collections.abc import Iterable

from engage.domain.members.cards import stored_forms
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import read_card_owners


async def members_of_cards(
    services: Services, received: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Return member ids by (program, received number), without unknown cards. Raises Unavailable."""
    forms = {
        (program_id, number): possible_forms(services, program_id, number) for program_id, number in received
    }
    keys = {(program_id, form) for (program_id, _), numbers in forms.items() for form in numbers}
    if not keys:
        return {}
    async with transaction(services.db) as conn:
        owners = await read_card_owners(conn, sorted(keys))
    found = {
        key: next((owners[key[0], form] for form in numbers if (key[0], form) in owners), None)
        for key, numbers in forms.items()
    }
    return {key: member_id for key, member_id in found.items() if member_id is not None}


def possible_forms(services: Services, program_id: str, number: str) -> list[str]:
    """Return every form in which a number may be stored as a card; none for a text that is no number."""
    return stored_forms(_phone_countries(services, program_id), number)


def _phone_countries(services: Services, program_id: str) -> list[str]:
    """Return the countries where some version makes phone numbers card numbers."""
    versions = services.programs.versions(program_id)
    countries = (
        country for version in versions if version.cards.phone_is_card for country in version.countries
    )
    return list(dict.fromkeys(countries))
