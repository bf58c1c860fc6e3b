"""Signing in with an OpenID Connect provider. A part of the console only where there is one."""

from typing import Any

import structlog
from litestar import Controller, get
from litestar.response import Redirect, Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.cookies import PENDING, pending_cookie, session_cookie
from engage.console.permissions import for_everybody
from engage.console.sign_in.pages import HOME, inside, sign_in_page, throttled_page
from engage.flows.operators.provider import ProviderFailed, begin, finish
from engage.flows.operators.sign_in import NotSignedIn

log = structlog.get_logger()


class ProviderController(Controller):
    path = "/provider"

    @get("/go", opt=for_everybody())
    async def go(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        if (throttled := throttled_page(request, visitor)) is not None:
            return throttled
        try:
            address, kept = await begin(visitor.services.settings, inside(asked(request, "next")))
        except ProviderFailed as failed:
            return _failed(request, visitor, failed)
        return Redirect(address, status_code=303, cookies=[pending_cookie(visitor.console, kept)])

    @get("/answer", opt=for_everybody())
    async def answer(self, request: HtmlRequest) -> Response[Any]:
        """Sign in the operator whom the provider names, and forget what the browser kept."""
        visitor = visitor_of(request)
        if (throttled := throttled_page(request, visitor)) is not None:
            return throttled
        query = {name: str(value) for name, value in request.query_params.items()}
        try:
            signed_in = await finish(visitor.services, request.cookies.get(PENDING, ""), query)
        except ProviderFailed as failed:
            return _failed(request, visitor, failed)
        if isinstance(signed_in, NotSignedIn):
            return sign_in_page(request, visitor, next_page=HOME, problem=str(signed_in), status=403)
        token, next_page = signed_in
        cookies = [session_cookie(visitor.console, token), pending_cookie(visitor.console, "")]
        return Redirect(next_page, status_code=303, cookies=cookies)


def _failed(request: HtmlRequest, visitor: Visitor, failed: ProviderFailed) -> Response[bytes]:
    log.warning("signing in with the provider failed", reason=str(failed))
    return sign_in_page(request, visitor, next_page=HOME, problem="provider_failed", status=502)
