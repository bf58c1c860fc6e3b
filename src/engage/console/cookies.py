"""The cookies of the console: a session, a sign-in that is under way, the language that somebody chose."""

from datetime import timedelta
from typing import Final

from litestar.datastructures import Cookie

from engage.console.context import Console, HtmlRequest
from engage.decoding.weighted import decode_weighted
from engage.domain.operators.sign_in import LONGEST, PATIENCE
from engage.messages.catalogue import DEFAULT

LANGUAGES: Final = ("en", "fr", "ru")

PENDING: Final = "engage_provider"
_LANGUAGE: Final = "engage_language"
_YEAR: Final = timedelta(days=365)


def session_token(console: Console, request: HtmlRequest) -> str:
    """The token of the visitor's session, or nothing."""
    token = request.cookies.get(_session_name(console), "")
    return token if len(token) <= 64 else ""


def session_cookie(console: Console, token: str) -> Cookie:
    """The cookie of a session that begins; one that ends for no token. Outside a sandbox its name is bound to
    this host.
    """
    return _cookie(console, _session_name(console), token, path="/", lasts=LONGEST)


def pending_cookie(console: Console, kept: str) -> Cookie:
    """The cookie that keeps a sign-in with a provider while the visitor is there; none for nothing."""
    return _cookie(console, PENDING, kept, path="/console/provider", lasts=PATIENCE)


def language_cookie(console: Console, language: str) -> Cookie:
    """The cookie that keeps a chosen language."""
    return _cookie(console, _LANGUAGE, language, path="/console", lasts=_YEAR)


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


def _cookie(console: Console, name: str, value: str, *, path: str, lasts: timedelta) -> Cookie:
    """A cookie that no script and no form of another site gets. Without a value it ends."""
    return Cookie(
        key=name,
        value=value,
        path=path,
        httponly=True,
        secure=console.is_secure,
        samesite="lax",
        max_age=int(lasts.total_seconds()) if value else 0,
    )
