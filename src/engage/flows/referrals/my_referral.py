"""A member's own invitations: their code, and what has become of those who used it."""

import secrets
from typing import Final

from msgspec import Struct

from engage.domain import codes
from engage.domain.keys import MemberKey
from engage.domain.referrals.definition import ReferralTerms
from engage.domain.refusals import Unavailable
from engage.flows.referrals.terms import terms_for
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import lock_open
from engage.store.referrals.codes import add_code, read_code
from engage.store.referrals.referrals import Counts, read_counts

# Codes of six characters are a thousand million: the second attempt hardly ever comes.
ATTEMPTS: Final = 10


class MyReferral(Struct, frozen=True):
    """A member's code, the address of an invitation with it, None where the program names none, and how many
    friends have used it.
    """

    code: str
    url: str | None
    counts: Counts


async def read_my_referral(services: Services, program_id: str, member_id: str) -> MyReferral:
    """Read a member's code and counts; a member without a code gets one, for ever.

    Raises Refusal unknown_member, not_offered; Unavailable.
    """
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    _, _, terms = terms_for(services, member, now=now)
    async with transaction(services.db) as conn:
        code = await read_code(conn, member.key)
        counts = await read_counts(conn, member.key)
    if code is None:
        code = await _make_code(services, member.key, terms)
    return MyReferral(code, None if terms.url is None else terms.url.replace("{code}", code), counts)


async def _make_code(services: Services, key: MemberKey, terms: ReferralTerms) -> str:
    """Make a code that nobody has; two requests at once get the same one."""
    length = terms.code_length
    for _ in range(ATTEMPTS):
        made = codes.encode(secrets.randbits(length * codes.BITS_PER_CHARACTER), length)
        async with transaction(services.db) as conn:
            await lock_open(conn, [key])
            await add_code(conn, key, made, now=services.clock.now())
            code = await read_code(conn, key)
        if code is not None:
            return code
    raise Unavailable("postgres")
