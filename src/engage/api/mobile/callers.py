"""The member that a request of the app is from."""

from collections.abc import Iterator
from contextlib import contextmanager

from litestar.types import Scope

from engage.api.callers import bearer
from engage.api.context import Api, started_api_of
from engage.api.once import once
from engage.api.problems import BODY_BYTES
from engage.domain.refusals import Code, Refusal
from engage.tokens.verifier import Identity, unauthorized


def member_of(scope: Scope) -> tuple[Api, Identity]:
    """Who was merged acts, with the tokens they have, for the member they were merged into.

    Raises Refusal unauthorized.
    """
    api = started_api_of(scope)
    who = api.verifier.verify(bearer(scope))
    member_id = api.services.members.current_id(who.program_id, who.member_id)
    return api, who if member_id == who.member_id else Identity(who.program_id, member_id)


def as_unauthorized(refusal: Refusal) -> Refusal:
    """A good token of somebody who is no member here is as good as none."""
    return unauthorized() if refusal.code is Code.UNKNOWN_MEMBER else refusal


@contextmanager
def members_only() -> Iterator[None]:
    """Whatever is refused within is refused as the app is told it (`as_unauthorized`)."""
    try:
        yield
    except Refusal as refusal:
        raise as_unauthorized(refusal) from None


async def _caller(api: Api, scope: Scope) -> str:
    identity = api.verifier.verify(bearer(scope))
    return f"member:{identity.program_id}:{identity.member_id}"


once_for_member = once(_caller, BODY_BYTES)
