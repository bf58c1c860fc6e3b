"""Keyed hashes of person references: enough to recognise a person within a program, and no more."""

import hashlib
import hmac

from engage.domain.members.person import one_form


def person_hashes(person_ref: str, *, program_id: str, pepper: str) -> tuple[bytes | None, bytes | None]:
    """Return (the hash of the reference's one form, the hash of the reference as it was sent).

    The first is stored; None for a reference of nothing but blanks. Earlier releases stored the second; None
    where it is the same. Hashes cannot be changed into those of another form, so both are looked for.
    """
    form = one_form(person_ref)
    if not form:
        return None, None
    hashed = _hash(form, program_id, pepper)
    as_sent = _hash(person_ref, program_id, pepper)
    return hashed, None if as_sent == hashed else as_sent


def _hash(text: str, program_id: str, pepper: str) -> bytes:
    return hmac.digest(pepper.encode(), f"{program_id}\0{text}".encode(), hashlib.sha256)
