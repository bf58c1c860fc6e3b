"""The router of the console: its sections, its guard, and the pages of what goes wrong."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import structlog
from litestar import Controller, Router, get
from litestar.connection import ASGIConnection
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    PermissionDeniedException,
)
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter
from litestar.response import Redirect, Response
from litestar.types import Guard

from engage.console.assets import AssetController
from engage.console.audit_log.pages import AuditLogController
from engage.console.campaigns.pages import CAMPAIGNS
from engage.console.context import VISITOR, HtmlRequest, Visitor, console_of
from engage.console.cookies import language_of
from engage.console.corrections.pages import CorrectionController
from engage.console.definitions.pages import CONTROLLERS as DEFINITIONS
from engage.console.health.pages import HealthController
from engage.console.keys.pages import KeyController
from engage.console.members.account import MemberAccountController
from engage.console.members.changes import MemberChangeController
from engage.console.members.search import MemberSearchController
from engage.console.operators.pages import OperatorController
from engage.console.permissions import HasToChangePassword, NotSignedInError, for_everybody, guard
from engage.console.programs.pages import ProgramController
from engage.console.protection.pages import SuspicionController
from engage.console.referrals.pages import ReferralController
from engage.console.rendering import page
from engage.console.reports.pages import ReportController
from engage.console.rewards.pages import RewardController
from engage.console.rewards.terms import RewardTermsController
from engage.console.segments.pages import SegmentController
from engage.console.segments.segment import SegmentPageController
from engage.console.sign_in.pages import AccountController, SignInController
from engage.console.withdrawals.pages import WithdrawalController
from engage.domain.refusals import Refusal, Unavailable
from engage.messages.refusals import refusal_message
from engage.settings import Settings

SIGN_IN: Final = "/console/sign-in"

# Documents are the largest that forms send; lists of members are sent as files.
FORM_BYTES: Final = 2 * 1024 * 1024

_CONTROLLERS: Final = (
    AssetController,
    SignInController,
    AccountController,
    *CAMPAIGNS,
    RewardController,
    RewardTermsController,
    *DEFINITIONS,
    ProgramController,
    SegmentController,
    SegmentPageController,
    ReportController,
    HealthController,
    OperatorController,
    KeyController,
    AuditLogController,
    MemberSearchController,
    MemberAccountController,
    MemberChangeController,
    CorrectionController,
    ReferralController,
    SuspicionController,
    WithdrawalController,
)

log = structlog.get_logger()


@get("/{rest:path}", opt=for_everybody())
async def no_page(rest: Annotated[str, PathParameter()]) -> Response[bytes]:
    raise NotFoundException(rest)


def console_router(settings: Settings, guards: Sequence[Guard] = ()) -> Router:
    """Make the router. `guards` come before the console's own."""
    return Router(
        "/console",
        route_handlers=[*_CONTROLLERS, *_of_provider(settings), no_page],
        guards=[*guards, _refuse_nul, guard],
        exception_handlers={
            NotSignedInError: _sign_in_first,
            HasToChangePassword: _change_password_first,
            Exception: _problem_page,
        },
        request_max_body_size=FORM_BYTES,
        include_in_schema=False,
    )


def _refuse_nul(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Nothing has a NUL in its id, and PostgreSQL cannot even look for it. Raises NotFoundException."""
    if "\0" in connection.scope["path"]:
        raise NotFoundException


def _of_provider(settings: Settings) -> list[type[Controller]]:
    """The pages for a provider that signs operators in. What they import takes a while to load."""
    if not settings.has_provider:
        return []
    from engage.console.sign_in.provider import ProviderController

    return [ProviderController]


def _sign_in_first(request: HtmlRequest, _error: Exception) -> Response[Any]:
    """Go to the sign-in page. A page that was being read is opened after it."""
    if "hx-request" in request.headers:  # A part of a page cannot hold the sign-in page.
        return Response(b"", status_code=204, headers={"hx-redirect": SIGN_IN})
    if request.method != "GET":
        return Redirect(SIGN_IN, status_code=303)
    read = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return Redirect(f"{SIGN_IN}?{urlencode({'next': read})}", status_code=303)


def _change_password_first(_request: HtmlRequest, _error: Exception) -> Response[Any]:
    return Redirect("/console/account", status_code=303)


def _problem_page(request: HtmlRequest, error: Exception) -> Response[Any]:
    """Say what is wrong and what to do. A bug is logged."""
    visitor = request.scope["state"].get(VISITOR) or Visitor(
        console_of(request.scope), language_of(request), None
    )
    facts: dict[str, Any] = {}
    match error:
        case Unavailable():
            status, key = 503, "unavailable"
        case Refusal():
            message = refusal_message(error.code, error.facts, visitor.language)
            status, key, facts = error.status, "refusal", {"title": message.title, "detail": message.detail}
        case PermissionDeniedException():
            status, key = 403, "forbidden"
        case NotFoundException() | MethodNotAllowedException():
            status, key = 404, "not_found"
        case HTTPException(status_code=413):
            status, key = 413, "too_large"
        case HTTPException(status_code=status) if status < 500:
            key = "bad_request"
        case _:
            handler = getattr(request.scope.get("route_handler"), "handler_name", "")
            log.error("a page failed", operation=handler, exc_info=error)
            status, key = 500, "failed"
    return page(request, visitor, "problem.html", status=status, problem=key, facts=facts)
