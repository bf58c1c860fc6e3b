"""Sign operators in and out, and find the operator of a session.

An attempt is counted before it is verified, in a transaction of its own, so attempts at once are no more than
attempts one after the other.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.operators.sign_in import LONGEST, SEEN_EVERY, failures_with, is_locked, is_over
from engage.flows.operators import second_factor
from engage.flows.operators.password_hashes import hash_password, is_outdated, is_right
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.operators import operators, sessions
from engage.store.operators.operators import Operator
from engage.store.operators.sessions import Session

# Idle sessions are deleted with each new one.
KEPT_FOR: Final = 2 * LONGEST


class NotSignedIn(StrEnum):
    """The reason why somebody is not signed in. The value is the key of its text."""

    # No such operator, another password, a wrong code, or too many attempts: nobody learns which.
    WRONG = "wrong"
    CODE_NEEDED = "code_needed"  # The password is right.
    PROVIDER = "provider"  # The provider signs nobody in, or somebody who is no operator.


class SignedIn(Struct, frozen=True):
    """An operator with a session. Its token is for the browser alone."""

    operator: Operator
    session: Session


async def sign_in(services: Services, email: str, password: str, code: str = "") -> str | NotSignedIn:
    """Begin a session and return its token. Raises Unavailable."""
    counted = await _count_attempt(services, email)
    if not await is_right(password, None if counted is None else counted.password_hash) or counted is None:
        return NotSignedIn.WRONG
    return await _begin(services, counted, password, code)


async def begin_session(services: Services, email: str) -> str | NotSignedIn:
    """Begin the session of an operator whom a provider has identified. Raises Unavailable."""
    async with transaction(services.db) as conn:
        operator = await operators.lock(conn, email)
        if operator is None or operator.disabled_at is not None:
            return NotSignedIn.PROVIDER
        return await sessions.begin(conn, operator.id, now=services.clock.wall())


async def sign_out(services: Services, session: Session) -> None:
    """End a session. Raises Unavailable."""
    async with transaction(services.db) as conn:
        await sessions.end(conn, session.token_hash)


async def find_session(services: Services, token: str) -> SignedIn | None:
    """Return the session of a token, if it has not ended; its operator may not be disabled.

    Raises Unavailable.
    """
    token_hash, now = sessions.hash_of(token), services.clock.wall()
    async with one_statement(services.db) as conn:
        found = await sessions.find(conn, token_hash)
    if found is None:
        return None
    session, operator = found
    if operator.disabled_at is not None or is_over(session.created_at, session.seen_at, now):
        return None
    if now >= session.seen_at + SEEN_EVERY:
        async with transaction(services.db) as conn:
            await sessions.see(conn, token_hash, now=now)
    return SignedIn(operator, session)


async def _count_attempt(services: Services, email: str) -> Operator | None:
    """Count an attempt as a failure until it succeeds. None for nobody's address, and for an operator who is
    locked out: both are answered alike, after the same time.
    """
    now = services.clock.wall()
    async with transaction(services.db) as conn:
        operator = await operators.lock(conn, email)
        if operator is None or operator.disabled_at is not None:
            return None
        if is_locked(operator.failures, operator.failed_at, now):
            return None
        failures = failures_with(operator.failures, operator.failed_at, now)
        await operators.change(conn, operator.id, failures=failures, failed_at=now)
        return replace(operator, failures=failures, failed_at=now)


async def _begin(services: Services, operator: Operator, password: str, code: str) -> str | NotSignedIn:
    """Begin the session of an operator whose password is right, if the code is right too."""
    now = services.clock.wall()
    step, changes = None, dict[str, object]()
    if operator.totp_secret is not None:
        if not code:
            await _forgive(services, operator)
            return NotSignedIn.CODE_NEEDED
        secret = second_factor.decrypted(services.settings, operator.totp_secret)
        step = secret and second_factor.step_of(secret, code, now, after=operator.totp_step)
        if not secret or not step:
            return NotSignedIn.WRONG
        changes["totp_secret"] = second_factor.renewed(services.settings, secret, operator.totp_secret)
    if operator.password_hash is not None and is_outdated(operator.password_hash):
        changes["password_hash"] = await hash_password(password)
    async with transaction(services.db) as conn:
        known = await operators.lock(conn, operator.email)
        if known is None or known.disabled_at is not None or known.password_hash != operator.password_hash:
            return NotSignedIn.WRONG
        if known.totp_secret != operator.totp_secret:
            return NotSignedIn.WRONG  # It was turned on or off meanwhile.
        if step and known.totp_step is not None and known.totp_step >= step:
            return NotSignedIn.WRONG
        await sessions.delete_idle(conn, seen_before=now - KEPT_FOR)
        await operators.change(
            conn, operator.id, failures=0, failed_at=None, totp_step=step or known.totp_step, **changes
        )
        return await sessions.begin(conn, operator.id, now=now)


async def _forgive(services: Services, operator: Operator) -> None:
    """Take back one attempt: the password was right, and the code has not been asked for yet."""
    async with transaction(services.db) as conn:
        known = await operators.lock(conn, operator.email)
        if known is not None and known.failures > 0:
            await operators.change(conn, operator.id, failures=known.failures - 1)
