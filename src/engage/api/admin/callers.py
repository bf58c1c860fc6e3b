"""The operator that a request is from."""

from litestar.types import Scope

from engage.api.callers import key_of
from engage.api.context import Api, started_api_of
from engage.api.once import once
from engage.api.problems import BODY_BYTES
from engage.store.api_keys import ApiKey

# A program document with its examples is longer than any other body.
DOCUMENT_BYTES = 1024 * 1024


async def operator_of(scope: Scope) -> tuple[Api, ApiKey]:
    """The key is the operator's name. Raises Refusal unauthorized, or forbidden for a key of the shop's."""
    api = started_api_of(scope)
    return api, await key_of(api.keys, scope, "admin")


async def _caller(api: Api, scope: Scope) -> str:
    return f"key:{(await key_of(api.keys, scope, 'admin')).id}"


once_for_operator = once(_caller, BODY_BYTES)
once_for_documents = once(_caller, DOCUMENT_BYTES)
