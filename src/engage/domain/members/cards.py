"""Card numbers in their stored form. A program can make a member's mobile phone number a card number too."""

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from engage.domain.activity import ONE_LINE
from engage.domain.members.definition import Cards
from engage.domain.members.numbers import compact
from engage.domain.members.phone import InvalidPhoneNumber, is_mobile, normalized

CardNumber = Annotated[
    str,
    Meta(
        min_length=4,
        max_length=64,
        pattern=ONE_LINE,
        description="a card number: 4 to 64 digits and letters, with blanks, dots, slashes or hyphens",
    ),
]

LONGEST: Final = 32


class InvalidCardNumber(ValueError):
    """A text that is not a card number."""


def stored_number(cards: Cards, country: str, number: str) -> str:
    """A phone number in E.164, any other number in its compact form. `country` is the member's.

    Raises InvalidCardNumber.
    """
    plain = _plain(number)
    if plain is None:
        raise InvalidCardNumber("letters, digits and what groups them")
    return (_mobile(number, country) if cards.phone_is_card else None) or plain


def stored_forms(phone_countries: Iterable[str], number: str) -> list[str]:
    """Every form in which a received number may be stored, the likeliest first; none for no card number.

    `phone_countries` are those where a phone number is a card number: nothing says which of them it is from.
    """
    plain = _plain(number)
    if plain is None:
        return []
    mobiles = [_mobile(number, country) for country in phone_countries]
    return list(dict.fromkeys([*(mobile for mobile in mobiles if mobile is not None), plain]))


def _mobile(number: str, country: str) -> str | None:
    try:
        phone = normalized(number, country)
    except InvalidPhoneNumber:
        return None
    return phone if is_mobile(phone) else None


def _plain(number: str) -> str | None:
    plain = compact(number)
    return plain if plain is not None and len(plain) <= LONGEST else None
