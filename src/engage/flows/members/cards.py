"""Whose card it is, however its number is written."""

from collections.abc import Iterable

from engage.domain.members.cards import stored_forms
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import read_card_owners


async def members_of_cards(
    services: Services, asked: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Member ids by the (program, card number) that was asked for; a card that nobody has is missing.

    Raises Unavailable.
    """
    written = {
        (program_id, number): stored_forms(_phone_countries(services, program_id), number)
        for program_id, number in asked
    }
    keys = {(program_id, kept) for (program_id, _), numbers in written.items() for kept in numbers}
    if not keys:
        return {}
    async with transaction(services.db) as conn:
        known = await read_card_owners(conn, sorted(keys))
    found = {
        key: next((known[key[0], kept] for kept in numbers if (key[0], kept) in known), None)
        for key, numbers in written.items()
    }
    return {key: member_id for key, member_id in found.items() if member_id is not None}


def _phone_countries(services: Services, program_id: str) -> list[str]:
    """The countries where a phone number is a card number in some version."""
    versions = services.programs.versions(program_id)
    countries = (
        country for version in versions if version.cards.phone_is_card for country in version.countries
    )
    return list(dict.fromkeys(countries))
