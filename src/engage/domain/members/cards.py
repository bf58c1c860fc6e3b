"""Card numbers, however they are written. Where a program says so, a mobile phone number is one too."""

from collections.abc import Iterable

from engage.domain.members.phone import NotAPhoneNumber, is_mobile, normalized
from engage.domain.program.program import Program

_LEFT_OUT = str.maketrans("", "", " -()")


def kept(program: Program, country: str, card_number: str) -> str:
    """A card's number as it is kept: a phone number in E.164, any other without what only spaces it out."""
    return (_phone(card_number, country) if program.cards.phone_is_card else None) or _plain(card_number)


def lookups(versions: Iterable[Program], card_number: str) -> list[str]:
    """As what a number that somebody sent may be kept, the likeliest first; of which country, nobody says."""
    countries = {
        country: None for version in versions if version.cards.phone_is_card for country in version.countries
    }
    phones = [_phone(card_number, country) for country in countries]
    return list(dict.fromkeys([*(phone for phone in phones if phone is not None), _plain(card_number)]))


def _phone(card_number: str, country: str) -> str | None:
    try:
        number = normalized(card_number, country)
    except NotAPhoneNumber:
        return None
    return number if is_mobile(number) else None


def _plain(card_number: str) -> str:
    return card_number.translate(_LEFT_OUT).upper() or card_number
