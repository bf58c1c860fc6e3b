"""Phone numbers, however they are written: one number has one form here, that of E.164 (`+375291234567`)."""

from functools import lru_cache
from typing import Annotated

import phonenumbers
from msgspec import Meta
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

# What a person would call a mobile number; in some countries nobody can tell them from others.
_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}

DIGITS_SHOWN = 3

# The pattern rules out the newline before which Python's $ matches too.
Phone = Annotated[str, Meta(min_length=4, max_length=32, pattern=r"^\+?[0-9 ()-]+(?!\n)$")]


class NotAPhoneNumber(ValueError):
    """No number of any country is written so."""


@lru_cache(maxsize=10_000)
def normalized(phone: str, country: str) -> str:
    """The number in E.164. One without a country's prefix is taken for one of `country` (ISO 3166-1).

    Raises NotAPhoneNumber.
    """
    try:
        number = phonenumbers.parse(phone, country)
    except NumberParseException as error:
        raise NotAPhoneNumber(str(error)) from None
    if not phonenumbers.is_valid_number(number):
        raise NotAPhoneNumber("no number of that length or range")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@lru_cache(maxsize=10_000)
def is_mobile(number: str) -> bool:
    """Whether a number in E.164 may be that of a mobile phone."""
    return phonenumbers.number_type(phonenumbers.parse(number)) in _MOBILE


@lru_cache(maxsize=10_000)
def is_of(number: str, country: str) -> bool:
    """Whether a number in E.164 is one of that country; several may share a prefix."""
    return phonenumbers.is_valid_number_for_region(phonenumbers.parse(number), country)


def masked(number: str) -> str:
    """A number as it may be shown to others: how it ends, and no more."""
    return "•" * (len(number) - DIGITS_SHOWN) + number[-DIGITS_SHOWN:]
