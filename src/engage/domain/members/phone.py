"""Phone numbers, stored in the form of E.164 (`+375291234567`)."""

from functools import lru_cache
from typing import Annotated

import phonenumbers
from msgspec import Meta
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

# In some countries mobile numbers look like fixed lines.
_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}

DIGITS_SHOWN = 3

# The pattern rules out the newline before which Python's $ matches too.
Phone = Annotated[str, Meta(min_length=4, max_length=32, pattern=r"^\+?[0-9 ()-]+(?!\n)$")]


class InvalidPhoneNumber(ValueError):
    """A text that is not a number of any country."""


@lru_cache(maxsize=10_000)
def normalized(phone: str, country: str) -> str:
    """The number in E.164. `country` (ISO 3166-1) is that of a number without a prefix.

    Raises InvalidPhoneNumber.
    """
    try:
        number = phonenumbers.parse(phone, country)
    except NumberParseException as error:
        raise InvalidPhoneNumber(str(error)) from None
    if not phonenumbers.is_valid_number(number):
        raise InvalidPhoneNumber("no number of that length or range")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@lru_cache(maxsize=10_000)
def is_mobile(number: str) -> bool:
    """Tell whether a number in E.164 can be that of a mobile phone."""
    return phonenumbers.number_type(phonenumbers.parse(number)) in _MOBILE


@lru_cache(maxsize=10_000)
def is_of(number: str, country: str) -> bool:
    """Tell whether a number in E.164 is of that country; several countries can share a prefix."""
    return phonenumbers.is_valid_number_for_region(phonenumbers.parse(number), country)


def masked(number: str) -> str:
    """The number as others may see it: its last digits only."""
    return "•" * (len(number) - DIGITS_SHOWN) + number[-DIGITS_SHOWN:]
