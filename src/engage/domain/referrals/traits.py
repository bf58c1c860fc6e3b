"""Traits in one form and as keyed hashes: a device or an address is known again however it is written."""

import hashlib
import hmac
import unicodedata
from typing import Annotated

from msgspec import Meta

from engage.domain.activity import ONE_LINE
from engage.domain.members.person import one_form
from engage.domain.referrals.referral import Trait

DeviceId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern=ONE_LINE,
        description="an identifier of a device or of the app on it; only a keyed hash is stored",
    ),
]
DeviceIds = Annotated[list[DeviceId], Meta(max_length=16)]
Addresses = Annotated[
    list[
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=500,
                description="a postal address; only a keyed hash is stored",
            ),
        ]
    ],
    Meta(max_length=16),
]


def trait_form(kind: Trait, text: str) -> str:
    """Return what is compared; empty if nothing is left. Of addresses these are the letters and digits."""
    form = one_form(text)
    if kind != "address":
        return form
    return "".join(c for c in form if unicodedata.category(c)[0] in "LN")


def trait_hash(program_id: str, kind: Trait, text: str, *, pepper: str) -> bytes | None:
    """Return the keyed hash of a trait, which is another one in each program; None if nothing is left."""
    form = trait_form(kind, text)
    if not form:
        return None
    return hmac.digest(pepper.encode(), f"{program_id}\0{kind}\0{form}".encode(), hashlib.sha256)
