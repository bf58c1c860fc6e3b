"""The cost that a campaign would have had: backtests, their progress and charts, a grant after approval."""

from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Controller, get, post
from litestar.params import PathParameter
from litestar.response import Redirect, Response

from engage.console.campaigns.documents import refused
from engage.console.campaigns.found import find_page, local_moment, path_of
from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import do_once, read_form
from engage.console.mistakes import Mistake
from engage.console.paging import PAGE, read_id, shown_page
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.campaigns.parse import from_value
from engage.domain.document.decoding import JSON
from engage.domain.document.errors import DocumentError
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.flows.backtests.grant import grant_backtest
from engage.flows.backtests.start import (
    BacktestView,
    InvalidWindow,
    cancel_backtest,
    list_backtests,
    show_backtest,
    start_backtest,
)
from engage.flows.campaigns.read import find_campaign

CampaignId = Annotated[str, PathParameter()]
BacktestId = Annotated[UUID, PathParameter()]

_WINDOW: Final = timedelta(days=28)


class CampaignBacktestController(Controller):
    path = "/campaigns/{campaign_id:str}/backtests"

    @get(opt=needs(Permission.VIEW))
    async def backtests(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[bytes]:
        return await _list(request, visitor_of(request), campaign_id, {})

    @post(status_code=303, opt=needs(Permission.WRITE))
    async def start(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[Any]:
        """Try the newest version on a window of the past."""
        visitor, form = visitor_of(request), await read_form(request)
        found = await find_page(request, visitor, campaign_id)
        campaign = from_value(found.campaign.document, source="", notation=JSON)
        typed = {name: form.text(name) for name in ("from", "until")}
        begin, until = (local_moment(typed[name]) for name in ("from", "until"))
        if begin is None or until is None:
            missing = "from" if begin is None else "until"
            mistakes = [Mistake(missing, "missing", None)]
            return await _list(request, visitor, campaign_id, typed, mistakes, status=422)
        key = campaign.program, campaign.id
        try:
            return await do_once(
                request,
                visitor,
                lambda once: start_backtest(
                    visitor.services,
                    campaign,
                    begin=begin,
                    until=until,
                    operator=visitor.identity.name,
                    keyed=once,
                ),
                lambda started: path_of(key, f"/backtests/{started.backtest_id}"),
            )
        except (DocumentError, InvalidWindow) as error:
            mistakes = refused(error.problems).mistakes
            return await _list(request, visitor, campaign_id, typed, mistakes, status=422)

    @get("/{backtest_id:uuid}", opt=needs(Permission.VIEW))
    async def backtest(
        self, request: HtmlRequest, campaign_id: CampaignId, backtest_id: BacktestId
    ) -> Response[bytes]:
        """One backtest. While it runs, its part of the page is asked for again and again."""
        visitor = visitor_of(request)
        view = await _read(visitor, campaign_id, backtest_id)
        found = await find_page(request, visitor, campaign_id)
        return page(
            request,
            visitor,
            "campaigns/backtest_part.html" if "hx-request" in request.headers else "campaigns/backtest.html",
            campaign=found.campaign,
            path_of=path_of,
            backtest=view,
            key=(view.program, view.campaign),
            can_read_members=visitor.may(Permission.READ_MEMBERS),
            zone=_zone(visitor, view.program),
        )

    @post("/{backtest_id:uuid}/cancel", status_code=303, opt=needs(Permission.WRITE))
    async def cancel(
        self, request: HtmlRequest, campaign_id: CampaignId, backtest_id: BacktestId
    ) -> Response[Any]:
        visitor = visitor_of(request)
        view = await _read(visitor, campaign_id, backtest_id)
        await cancel_backtest(visitor.services, backtest_id)
        return _to(view, "backtest.cancelled")

    @post("/{backtest_id:uuid}/grant", status_code=303, opt=needs(Permission.APPROVE))
    async def grant(
        self, request: HtmlRequest, campaign_id: CampaignId, backtest_id: BacktestId
    ) -> Response[Any]:
        """Grant what members would have gained: once, however often the button is pressed."""
        visitor = visitor_of(request)
        view = await _read(visitor, campaign_id, backtest_id)
        await grant_backtest(visitor.services, backtest_id, operator=visitor.identity)
        return _to(view, "backtest.granted")


async def _list(
    request: HtmlRequest,
    visitor: Visitor,
    campaign_id: str,
    typed: dict[str, str],
    mistakes: list[Mistake] | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    found = await find_page(request, visitor, campaign_id)
    program = found.campaign.program
    before = asked(request, "before")
    listed = await list_backtests(
        visitor.services,
        [program],
        campaign_id=found.campaign.id,
        before=read_id(before),
        limit=PAGE + 1,
    )
    until = visitor.services.clock.now().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    window = {"from": f"{until - _WINDOW:%Y-%m-%dT%H:%M}", "until": f"{until:%Y-%m-%dT%H:%M}"}
    return page(
        request,
        visitor,
        "campaigns/backtests.html",
        status=status,
        campaign=found.campaign,
        path_of=path_of,
        backtests=shown_page(listed, before, lambda last: last.backtest_id),
        typed=window | typed,
        mistakes=mistakes or [],
        zone=_zone(visitor, program),
    )


async def _read(visitor: Visitor, campaign_id: str, backtest_id: UUID) -> BacktestView:
    """Raises Refusal not_found, also for a backtest of another campaign or program."""
    view = await show_backtest(visitor.services, backtest_id)
    if view.campaign != campaign_id or view.program not in visitor.programs:
        raise Refusal(Code.NOT_FOUND)
    await find_campaign(visitor.services, [view.program], campaign_id)
    return view


def _to(view: BacktestView, done: str) -> Redirect:
    section = f"/backtests/{view.backtest_id}"
    return Redirect(path_of((view.program, view.campaign), section) + f"&done={done}", status_code=303)


def _zone(visitor: Visitor, program: str) -> str:
    """The zone of the program's main country, in which days are counted."""
    return next(iter(visitor.services.programs.versions(program)[0].countries.values())).zone
