"""The guard of every page: who may open it, and that a form comes from a page of the console.

Each handler names what it needs with `needs`, or says whom it is for. One that says neither
opens for nobody.
"""

import hmac
from typing import Any, Final, cast

from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from engage.console.context import VISITOR, HtmlRequest, Visitor, console_of
from engage.console.cookies import language_of, session_token
from engage.console.forms import FORM_TOKEN, read_form
from engage.domain.operators.roles import Permission
from engage.flows.operators.sign_in import SignedIn, find_session

NEEDS: Final = "needs"
_EVERYBODY: Final = "everybody"
_PUBLIC: Final = "public"  # Files that are the same for all.

# Pages that an operator whose password was set by somebody else may open until it is changed.
_OWN_ACCOUNT: Final = "own_account"


class NotSignedInError(Exception):
    """Nobody is signed in, and the page is not for everybody."""


class HasToChangePassword(Exception):
    """The operator's password was set by somebody else."""


class ForeignForm(PermissionDeniedException):
    """A form that no page of the operator has sent."""

    detail = "This form did not come from a page of the console, or its session is over."


def needs(permission: Permission) -> dict[str, Any]:
    """The `opt` of a handler that operators with this permission may use."""
    return {NEEDS: permission}


def for_operators() -> dict[str, Any]:
    """The `opt` of a handler about the operator's own account."""
    return {NEEDS: _OWN_ACCOUNT}


def for_everybody() -> dict[str, Any]:
    """The `opt` of a handler that needs no session."""
    return {NEEDS: _EVERYBODY}


def public() -> dict[str, Any]:
    """The `opt` of a handler that answers everybody with the same."""
    return {NEEDS: _PUBLIC}


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Identify the visitor, and check the permission and the form.

    Raises NotSignedInError, HasToChangePassword, PermissionDeniedException, ForeignForm, Unavailable.
    """
    request = cast(HtmlRequest, connection)
    needed = handler.opt.get(NEEDS)
    if needed is None:
        raise PermissionDeniedException("This page says for nobody whom it is for.")
    if needed == _PUBLIC:
        return
    console = console_of(request.scope)
    console.check()
    token = session_token(console, request)
    signed_in = await find_session(console.services, token) if token else None
    visitor = Visitor(console, language_of(request), signed_in)
    request.scope["state"][VISITOR] = visitor
    if request.method != "GET":
        await _check_form(request, signed_in)
    if needed == _EVERYBODY:
        return
    if signed_in is None:
        raise NotSignedInError
    if needed == _OWN_ACCOUNT:
        return
    if signed_in.operator.has_to_change:
        raise HasToChangePassword
    if not visitor.may(needed):
        raise PermissionDeniedException(needed)


async def _check_form(request: HtmlRequest, signed_in: SignedIn | None) -> None:
    """Check that a page of this site has sent a form: by the browser's word, and by the session's token.

    Without a session there is nothing that another site's form could use, but to sign in as somebody else.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForeignForm
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise ForeignForm
    form = await read_form(request)
    if signed_in is not None and not hmac.compare_digest(
        form.text(FORM_TOKEN).encode(), signed_in.session.form_token.encode()
    ):
        raise ForeignForm
