"""Forms: their fields, their limits, and deeds that are done once however often a form is sent."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from litestar.datastructures import UploadFile
from litestar.response import Redirect, Response
from msgspec import Struct

from engage.console.context import HtmlRequest, Visitor
from engage.domain.refusals import Code, Refusal
from engage.runtime.idempotency import Keyed, find_response
from engage.store.idempotency import RequestKey, StoredResponse

# Fields of every form: the session's token, and a key of the form as it was rendered.
FORM_TOKEN: Final = "form_token"  # noqa: S105  # The name of a field.
ONCE: Final = "once"

LONGEST_KEY: Final = 64

R = TypeVar("R")


class Form(Struct, frozen=True):
    """The fields of a form that was sent."""

    fields: Mapping[str, list[Any]]

    def text(self, name: str, default: str = "") -> str:
        """The value of a field, without blanks around it; the first of several."""
        return next((value.strip() for value in self._strings(name)), default)

    def texts(self, name: str) -> list[str]:
        """The values of a field that may stand several times, such as boxes to tick; empty ones left out."""
        return [value.strip() for value in self._strings(name) if value.strip()]

    def moment(self, name: str) -> str:
        """A local date-time as documents have it. Browsers leave out seconds that are zero."""
        value = self.text(name)
        return f"{value}:00" if len(value) == len("2027-01-31T12:00") else value

    def lines(self, name: str) -> str:
        """The text of a field with several lines, which end in a line feed."""
        return self.text(name).replace("\r\n", "\n")

    def file(self, name: str) -> UploadFile | None:
        return next((value for value in self.fields.get(name, ()) if isinstance(value, UploadFile)), None)

    def secret(self, name: str) -> str:
        """The value of a field as it was typed, blanks included."""
        return next(iter(self._strings(name)), "")

    def _strings(self, name: str) -> list[str]:
        """The texts of a field. Nobody types NUL, which PostgreSQL cannot store."""
        return [value.replace("\0", "") for value in self.fields.get(name, ()) if isinstance(value, str)]


async def read_form(request: HtmlRequest) -> Form:
    """Read the form of a request, which the guard has checked. It may be read again."""
    sent = await request.form()
    return Form({name: sent.getall(name) for name in sent})


def new_once() -> str:
    """Make the key of a form that is rendered."""
    return secrets.token_urlsafe(18)


async def do_once(
    request: HtmlRequest,
    visitor: Visitor,
    action: Callable[[Keyed[R]], Awaitable[R]],
    then: Callable[[R], str],
    show: Callable[[R], Response[Any] | None] = lambda _: None,
) -> Response[Any]:
    """Do what a form asks for, and go on to the page that `then` names. A form that is sent again, by a
    double click or the back button, goes there too and does nothing.

    `show` may make another page of the result, for the first time only and kept nowhere: with a secret, or
    with what kept the flow from doing anything.

    Raises what the action raises; Refusal request_in_flight, idempotency_key_reused, invalid_request.
    """
    form = await read_form(request)
    key = form.text(ONCE)
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii():
        raise Refusal(Code.INVALID_REQUEST, errors=[{"field": ONCE, "message": "missing"}])
    once = RequestKey(f"operator:{visitor.operator.id}", key, await _fingerprint(request, form))
    known = await find_response(visitor.services, once)
    if known is not None:
        return Redirect(dict(known.headers)["location"], status_code=303)
    result = await action(Keyed(once, lambda done: _redirect(then(done))))
    shown = show(result)
    return shown if shown is not None else Redirect(then(result), status_code=303)


def _redirect(path: str) -> StoredResponse:
    return StoredResponse(303, [("location", path)], b"")


async def _fingerprint(request: HtmlRequest, form: Form) -> bytes:
    """Two forms with one key are the same if their addresses, fields and files are."""
    scope = request.scope
    digest = hashlib.sha256(scope["path"].encode() + b"?" + scope["query_string"])
    for name in sorted(form.fields.keys() - {FORM_TOKEN}):
        digest.update(repr((name, form.texts(name))).encode())
        file = form.file(name)
        if file is not None:
            await file.seek(0)
            digest.update(await file.read())
            await file.seek(0)
    return digest.digest()
