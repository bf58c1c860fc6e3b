"""The cookies of the console: the session, and the language that somebody chose."""

from typing import Final

from litestar.datastructures import Cookie

from engage.console.context import Console, HtmlRequest
from engage.decoding.weighted import decode_weighted
from engage.domain.operators.sign_in import LONGEST
from engage.flows.operators.provider import PATIENCE
from engage.messages.catalogue import DEFAULT

LANGUAGES: Final = ("en", "fr", "ru")

PENDING: Final = "engage_provider"
_LANGUAGE: Final = "engage_language"
_YEAR_S: Final = 365 * 24 * 3600


def session_token(console: Console, request: HtmlRequest) -> str:
    """The token of the visitor's session, or nothing."""
    token = request.cookies.get(_session_name(console), "")
    return token if len(token) <= 64 else ""


def session_cookie(console: Console, token: str) -> Cookie:
    """The cookie of a session that begins; one that ends for no token. Its name is bound to this host, and
    outside a sandbox to TLS.
    """
    return Cookie(
        key=_session_name(console),
        value=token,
        path="/",
        httponly=True,
        secure=console.is_secure,
        samesite="lax",
        max_age=int(LONGEST.total_seconds()) if token else 0,
    )


def pending_cookie(console: Console, kept: str) -> Cookie:
    """The cookie that keeps a sign-in with a provider while the visitor is there; none for nothing."""
    return Cookie(
        key=PENDING,
        value=kept,
        path="/console/provider",
        httponly=True,
        secure=console.is_secure,
        samesite="lax",
        max_age=int(PATIENCE.total_seconds()) if kept else 0,
    )


def language_cookie(console: Console, language: str) -> Cookie:
    """The cookie that keeps a chosen language."""
    return Cookie(
        key=_LANGUAGE,
        value=language,
        path="/console",
        httponly=True,
        secure=console.is_secure,
        samesite="lax",
        max_age=_YEAR_S,
    )


def language_of(request: HtmlRequest) -> str:
    """The language that the visitor chose, or the first of the browser's that the console speaks."""
    chosen = request.cookies.get(_LANGUAGE)
    if chosen in LANGUAGES:
        return chosen
    accepted = [
        name.partition("-")[0] for name, _ in decode_weighted(request.headers.get("accept-language", ""))
    ]
    return next((name for name in accepted if name in LANGUAGES), DEFAULT)


def _session_name(console: Console) -> str:
    return "__Host-engage_session" if console.is_secure else "engage_session"
