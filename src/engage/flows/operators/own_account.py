"""The own account of an operator: change the password, turn the second factor on or off."""

from enum import StrEnum

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.operators.passwords import Weakness, weakness_of
from engage.flows.operators import second_factor
from engage.flows.operators.administration_log import log_administration
from engage.flows.operators.password_hashes import hash_password, is_right
from engage.flows.operators.sign_in import SignedIn
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.operators import operators, sessions
from engage.store.operators.operators import Operator


class NotEnabled(StrEnum):
    """The reason why a second factor was not turned on."""

    WRONG_CODE = "wrong_code"
    ALREADY_ON = "already_on"  # It is replaced by turning it off first, which takes the password.


class ChangedPassword(Struct, frozen=True):
    """A password was changed. `token` is that of the session which goes on."""

    token: str


async def change_password(
    services: Services, signed_in: SignedIn, present: str, new: str
) -> ChangedPassword | Weakness | None:
    """Set another password, end all sessions, and begin a new one: a copied cookie is worth nothing any more.
    Return None where the present password is wrong, or the weakness of the new one. Raises Unavailable.
    """
    operator = signed_in.operator
    weakness = weakness_of(new, operator.email, present=present)
    if weakness is not None:
        return weakness
    if not await is_right(present, operator.password_hash):
        return None
    password_hash = await hash_password(new)
    async with transaction(services.db) as conn:
        known = await operators.lock(conn, operator.email)
        if known is None or known.password_hash != operator.password_hash:
            return None
        await operators.change(conn, operator.id, password_hash=password_hash, has_to_change=False)
        await sessions.end_all(conn, operator.id)
        token = await sessions.begin(conn, operator.id, now=services.clock.wall())
        await _log(services, conn, operator, "password_changed")
    return ChangedPassword(token)


async def enable_second_factor(
    services: Services, signed_in: SignedIn, secret: str, code: str
) -> NotEnabled | None:
    """Ask for codes of this secret from now on, once one of them is right. An operator who has a secret keeps
    it: a session alone does not replace it.

    Raises Unavailable.
    """
    operator = signed_in.operator
    step = second_factor.step_of(secret, code, services.clock.wall(), after=None)
    if step is None:
        return NotEnabled.WRONG_CODE
    stored = second_factor.encrypted(services.settings, secret)
    async with transaction(services.db) as conn:
        known = await operators.lock(conn, operator.email)
        if known is None or known.totp_secret is not None:
            return NotEnabled.ALREADY_ON
        await operators.change(conn, operator.id, totp_secret=stored, totp_step=step)
        await _log(services, conn, operator, "second_factor_on")
    return None


async def disable_second_factor(services: Services, signed_in: SignedIn, password: str) -> bool:
    """Ask for codes no longer; false for a wrong password. Raises Unavailable."""
    operator = signed_in.operator
    if not await is_right(password, operator.password_hash):
        return False
    async with transaction(services.db) as conn:
        await operators.lock(conn, operator.email)
        await operators.change(conn, operator.id, totp_secret=None, totp_step=None)
        await _log(services, conn, operator, "second_factor_off")
    return True


async def _log(services: Services, conn: AsyncConnection, operator: Operator, action: str) -> None:
    await log_administration(
        conn, f"operator:{operator.email}", action, operator=operator.email, now=services.clock.now()
    )
