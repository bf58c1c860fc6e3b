"""Card numbers in their stored form. A program can make a member's mobile phone number a card number too."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from engage.domain.members.definition import Cards
from engage.domain.members.phone import InvalidPhoneNumber, is_mobile, normalized

# Patterns rule out the newline before which Python's $ matches too.
CardNumber = Annotated[str, Meta(min_length=4, max_length=32, pattern=r"^[0-9A-Za-z+() -]+(?!\n)$")]

_SEPARATORS = str.maketrans("", "", " -()")


def stored_number(cards: Cards, country: str, number: str) -> str:
    """A phone number in E.164, any other number without its separators. `country` is the member's."""
    return (_mobile(number, country) if cards.phone_is_card else None) or _plain(number)


def stored_forms(phone_countries: Iterable[str], number: str) -> list[str]:
    """Every form in which a received number may be stored, the likeliest first.

    `phone_countries` are those where a phone number is a card number: nothing says which of them it is from.
    """
    mobiles = [_mobile(number, country) for country in phone_countries]
    return list(dict.fromkeys([*(mobile for mobile in mobiles if mobile is not None), _plain(number)]))


def _mobile(number: str, country: str) -> str | None:
    try:
        phone = normalized(number, country)
    except InvalidPhoneNumber:
        return None
    return phone if is_mobile(phone) else None


def _plain(number: str) -> str:
    return number.translate(_SEPARATORS).upper() or number
