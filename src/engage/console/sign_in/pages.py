"""The pages of signing in and out, of the own account, and the choice of a language."""

from typing import Any, Final

from litestar import Controller, get, post
from litestar.response import Redirect, Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.cookies import LANGUAGES, language_cookie, session_cookie
from engage.console.forms import read_form
from engage.console.permissions import for_everybody, for_operators
from engage.console.rendering import page
from engage.domain.operators.passwords import LONGEST
from engage.flows.operators import second_factor
from engage.flows.operators.own_account import (
    ChangedPassword,
    NotEnabled,
    change_password,
    disable_second_factor,
    enable_second_factor,
)
from engage.flows.operators.sign_in import NotSignedIn, sign_in, sign_out

HOME: Final = "/console/campaigns"


class SignInController(Controller):
    @get("/", opt=for_everybody())
    async def index(self) -> Redirect:
        return Redirect(HOME, status_code=303)

    @get("/sign-in", opt=for_everybody())
    async def form(self, request: HtmlRequest) -> Response[Any]:
        visitor, next_page = visitor_of(request), inside(asked(request, "next"))
        if visitor.signed_in is not None:
            return Redirect(next_page, status_code=303)
        return sign_in_page(request, visitor, next_page=next_page)

    @post("/sign-in", status_code=303, opt=for_everybody())
    async def sign_in(self, request: HtmlRequest) -> Response[Any]:
        """A code is asked for once the password is right, where the operator has a second factor."""
        visitor, form = visitor_of(request), await read_form(request)
        email, next_page = form.text("email").lower(), inside(form.text("next"))
        if (throttled := throttled_page(request, visitor)) is not None:
            return throttled
        password, code = form.secret("password")[: LONGEST + 1], form.text("code").replace(" ", "")
        token = await sign_in(visitor.services, email, password, code)
        if isinstance(token, NotSignedIn):
            asks = token is NotSignedIn.CODE_NEEDED or "code" in form.fields
            wrong = "" if token is NotSignedIn.CODE_NEEDED else str(token)
            return sign_in_page(
                request, visitor, email=email, next_page=next_page, problem=wrong, code=asks, status=422
            )
        cookie = session_cookie(visitor.console, token)
        return Redirect(next_page, status_code=303, cookies=[cookie])

    @post("/sign-out", status_code=303, opt=for_operators())
    async def sign_out(self, request: HtmlRequest) -> Redirect:
        visitor = visitor_of(request)
        assert visitor.signed_in is not None
        await sign_out(visitor.services, visitor.signed_in.session)
        return Redirect("/console/sign-in", status_code=303, cookies=[session_cookie(visitor.console, "")])

    @post("/language", status_code=303, opt=for_everybody())
    async def choose_language(self, request: HtmlRequest) -> Redirect:
        visitor, form = visitor_of(request), await read_form(request)
        language = form.text("language")
        cookies = [language_cookie(visitor.console, language)] if language in LANGUAGES else []
        return Redirect(inside(form.text("next")), status_code=303, cookies=cookies)


class AccountController(Controller):
    path = "/account"

    @get(opt=for_operators())
    async def account(self, request: HtmlRequest) -> Response[bytes]:
        return _account_page(request)

    @post("/password", status_code=303, opt=for_operators())
    async def change_password(self, request: HtmlRequest) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        assert visitor.signed_in is not None
        new = form.secret("new_password")
        if new != form.secret("repeated"):
            return _account_page(request, mismatch=True, status=422)
        present = form.secret("present_password")
        changed = await change_password(visitor.services, visitor.signed_in, present, new)
        if not isinstance(changed, ChangedPassword):
            return _account_page(request, password_problem=str(changed or "wrong"), status=422)
        cookie = session_cookie(visitor.console, changed.token)
        return Redirect("/console/account?done=password", status_code=303, cookies=[cookie])

    @post("/second-factor", status_code=303, opt=for_operators())
    async def enable(self, request: HtmlRequest) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        assert visitor.signed_in is not None
        secret, code = form.text("secret"), form.text("code").replace(" ", "")
        problem: NotEnabled | None = NotEnabled.WRONG_CODE
        if second_factor.is_secret(secret):
            problem = await enable_second_factor(visitor.services, visitor.signed_in, secret, code)
        if problem is not None:
            return _account_page(request, factor_problem=str(problem), secret=secret, status=422)
        return Redirect("/console/account?done=second_factor_on", status_code=303)

    @post("/second-factor/off", status_code=303, opt=for_operators())
    async def disable(self, request: HtmlRequest) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        assert visitor.signed_in is not None
        if not await disable_second_factor(visitor.services, visitor.signed_in, form.secret("password")):
            return _account_page(request, factor_problem="wrong_password", status=422)
        return Redirect("/console/account?done=second_factor_off", status_code=303)


def inside(path: str) -> str:
    """A page of the console, never of another site."""
    is_page = path.startswith("/console/") and "//" not in path and path.isprintable() and "\\" not in path
    return path if is_page and not path.startswith("/console/sign-in") else HOME


def throttled_page(request: HtmlRequest, visitor: Visitor) -> Response[bytes] | None:
    """Charge the network of somebody who signs in: None if there may be another attempt."""
    peer, _ = request.scope["client"] or ("", 0)
    limits, origins = visitor.services.limits, visitor.services.origins
    wait_s = limits.wait_of_network(limits.network, origins.public_network(peer, request.scope["headers"]))
    if not wait_s:
        return None
    made = sign_in_page(request, visitor, next_page=HOME, problem="throttled", status=429)
    made.headers["retry-after"] = str(wait_s)
    return made


def sign_in_page(
    request: HtmlRequest,
    visitor: Visitor,
    *,
    next_page: str,
    email: str = "",
    problem: str = "",
    code: bool = False,
    status: int = 200,
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "sign_in.html",
        status=status,
        email=email,
        next_page=next_page,
        problem=problem,
        asks_for_code=code,
        has_provider=visitor.services.settings.has_provider,
    )


def _account_page(
    request: HtmlRequest,
    *,
    password_problem: str = "",
    mismatch: bool = False,
    factor_problem: str = "",
    secret: str = "",
    status: int = 200,
) -> Response[bytes]:
    import segno  # For this page alone.

    visitor = visitor_of(request)
    operator = visitor.operator
    secret = secret if second_factor.is_secret(secret) else second_factor.new_secret()
    return page(
        request,
        visitor,
        "account.html",
        status=status,
        operator=operator,
        password_problem="different" if mismatch else password_problem,
        factor_problem=factor_problem,
        secret=secret,
        qr=segno.make(second_factor.provisioning_uri(secret, operator.email)).svg_data_uri(scale=4),
    )
