"""Keyed hashes of person references: enough to recognise a person within a program, and no more."""

import hashlib
import hmac
from collections.abc import Sequence

from engage.domain.members.person import one_form


def person_hashes(
    person_ref: str, *, program_id: str, peppers: Sequence[str]
) -> tuple[bytes | None, Sequence[bytes]]:
    """Return (the hash to store, other hashes under which the person may be known).

    The first is that of the reference's one form with the first pepper; None for a reference of nothing but
    blanks. The others are made with earlier peppers, or of the reference as it was sent, as earlier releases
    did. Hashes cannot be changed into one another, so all are looked for.
    """
    form = one_form(person_ref)
    if not form:
        return None, ()
    hashed, *others = dict.fromkeys(
        _hash(written, program_id, pepper) for pepper in peppers for written in (form, person_ref)
    )
    return hashed, others


def _hash(text: str, program_id: str, pepper: str) -> bytes:
    return hmac.digest(pepper.encode(), f"{program_id}\0{text}".encode(), hashlib.sha256)
