"""Callers: a member with a token, the shop or an operator with an API key."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from litestar.types import ASGIApp, Scope
from msgspec.structs import replace

from engage.api.http.context import Api, api_of, started_api_of
from engage.api.http.idempotency import idempotency
from engage.api.http.problems import BODY_BYTES, FieldError, invalid
from engage.api.http.rate_limits import charge_key, charge_member, charge_stranger
from engage.domain.identity import Identity, Origin
from engage.domain.keys import member_caller
from engage.domain.refusals import Code, Refusal
from engage.flows.members.profile import SeveralPrograms, program_of
from engage.store.api_keys import ApiKey
from engage.store.api_keys import Scope as KeyScope
from engage.tokens.verifier import unauthorized

Middleware = Callable[..., ASGIApp]


async def member_of(scope: Scope) -> tuple[Api, Identity]:
    """Identify the member. A merged member's token acts for the survivor. Raises Refusal unauthorized."""
    api = started_api_of(scope)
    caller = await _verified(api, scope)
    member_id = api.services.members.current_id(caller.program_id, caller.member_id)
    return api, caller if member_id == caller.member_id else replace(caller, member_id=member_id)


async def _verified(api: Api, scope: Scope) -> Identity:
    """Verify a token and charge its member. Raises Refusal unauthorized, rate_limited."""
    try:
        caller = await api.verifier.identify(_bearer(scope))
    except Refusal as refusal:
        _charge_for_bad(api, scope, refusal)
        raise
    charge_member(api, scope, caller)
    return caller


def _charge_for_bad(api: Api, scope: Scope, refusal: Refusal) -> None:
    """Charge the network for bad credentials. Raises Refusal rate_limited."""
    if refusal.code is Code.UNAUTHORIZED:
        charge_stranger(api, scope)


def origin_of(scope: Scope, member: Identity) -> Origin:
    """Find where a member's request comes from: the device of the token, and the network of the client."""
    client = scope["client"]
    return api_of(scope).services.origins.origin(
        member, "" if client is None else client[0], scope["headers"]
    )


def protected_origin(api: Api, scope: Scope, member: Identity) -> Origin | None:
    """Find where a member's request comes from. None if the program has no velocity rules."""
    return origin_of(scope, member) if api.services.programs.protects(member.program_id) else None


def as_unauthorized(refusal: Refusal) -> Refusal:
    """Replace unknown_member: a token of no member is not valid."""
    return unauthorized("no such member") if refusal.code is Code.UNKNOWN_MEMBER else refusal


@contextmanager
def members_only() -> Iterator[None]:
    """Replace a refusal unknown_member by unauthorized."""
    try:
        yield
    except Refusal as refusal:
        raise as_unauthorized(refusal) from None


async def shop_of(scope: Scope) -> tuple[Api, ApiKey]:
    """Raises Refusal unauthorized, or forbidden for a key without the scope `shop`."""
    api = started_api_of(scope)
    return api, await _key_of(api, scope, "shop")


async def operator_of(scope: Scope) -> tuple[Api, ApiKey]:
    """Raises Refusal unauthorized, or forbidden for a key without the scope `admin`."""
    api = started_api_of(scope)
    return api, await _key_of(api, scope, "admin")


async def approver_of(scope: Scope) -> tuple[Api, ApiKey]:
    """Raises Refusal unauthorized, or forbidden for a key without the scope `approve` or `admin`."""
    api = started_api_of(scope)
    return api, await _key_of(api, scope, "admin", "approve")


def opened_programs(api: Api, key: ApiKey, program: str) -> list[str]:
    """List the programs that a key opens, or the named one of them. Raises Refusal other_program."""
    if program:
        key.check(program)
    return [known for known in api.services.programs.ids() if key.opens(known) and program in ("", known)]


async def program_of_member(api: Api, key: ApiKey, member_id: str, program: str) -> str:
    """The program of a member, among those that the key opens. Raises Refusal unknown_member, other_program,
    or invalid_request where the program is needed.
    """
    try:
        return await program_of(api.services, member_id, opened_programs(api, key, program))
    except SeveralPrograms:
        raise program_needed() from None


def program_needed() -> Exception:
    return invalid(FieldError("program", "needed: members of several programs have this id"))


async def _member(api: Api, scope: Scope) -> str:
    caller = await _verified(api, scope)
    return member_caller(caller.program_id, caller.member_id)


async def _shop(api: Api, scope: Scope) -> str:
    return f"key:{(await _key_of(api, scope, 'shop')).id}"


async def _operator(api: Api, scope: Scope) -> str:
    """Either kind of operator: the handler says which one it needs."""
    return f"key:{(await _key_of(api, scope, 'admin', 'approve')).id}"


def member_idempotency(limit_bytes: int = BODY_BYTES) -> Middleware:
    return idempotency(_member, limit_bytes)


def shop_idempotency(limit_bytes: int = BODY_BYTES) -> Middleware:
    return idempotency(_shop, limit_bytes)


def operator_idempotency(limit_bytes: int = BODY_BYTES) -> Middleware:
    return idempotency(_operator, limit_bytes)


def _bearer(scope: Scope) -> str:
    """Raises Refusal unauthorized without exactly one bearer token."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1 or values[0][:7].lower() != b"bearer ":
        raise unauthorized("no bearer token" if not values else "another authorization than one bearer token")
    return values[0][7:].strip().decode("latin-1")


async def _key_of(api: Api, scope: Scope, *enough: KeyScope) -> ApiKey:
    """The key of a request. One of these scopes is enough; a refusal names the first."""
    try:
        key = await api.keys.find(_bearer(scope))
        if key is None:
            raise unauthorized("no API key of ours, or a revoked one")
    except Refusal as refusal:
        _charge_for_bad(api, scope, refusal)
        raise
    charge_key(api, scope, key)
    if not set(enough) & set(key.scopes):
        raise Refusal(Code.FORBIDDEN, scope=enough[0])
    return key
