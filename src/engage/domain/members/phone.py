"""Phone numbers, stored in the form of E.164 (`+375291234567`)."""

import re
from functools import lru_cache
from typing import Annotated, Final

import phonenumbers
from msgspec import Meta
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from engage.domain.activity import ONE_LINE
from engage.domain.members.numbers import compact

# In some countries mobile numbers look like fixed lines.
_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}

DIGITS_SHOWN = 3

Phone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=ONE_LINE,
        description="a phone number in any notation, with or without the prefix of the member's country",
    ),
]

# The library would take letters for the digits beside which keys show them.
_DIALLED: Final = re.compile(r"\+?[0-9]+")


class InvalidPhoneNumber(ValueError):
    """A text that is not a number of any country."""


@lru_cache(maxsize=10_000)
def normalized(phone: str, country: str) -> str:
    """The number in E.164. `country` (ISO 3166-1) is that of a number without a prefix.

    Raises InvalidPhoneNumber.
    """
    dialled = compact(phone)
    if dialled is None or not _DIALLED.fullmatch(dialled):
        raise InvalidPhoneNumber("not digits and what groups them")
    # Not every country dials 00 before a foreign prefix, but everywhere people write it.
    readings = [dialled, f"+{dialled[2:]}"] if dialled.startswith("00") else [dialled]
    for reading in readings:
        try:
            number = phonenumbers.parse(reading, country)
        except NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return phonenumbers.format_number(number, PhoneNumberFormat.E164)
    raise InvalidPhoneNumber("no number of that length or range")


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
