"""The first page: what runs when, and every campaign with its state, points and budget."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, get_args

from litestar import Controller, get
from litestar.response import Response

from engage.console.campaigns.calendar import Month, month_of
from engage.console.campaigns.overlaps import overlaps_in
from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.campaigns.lifecycle import State
from engage.domain.operators.roles import Permission
from engage.flows.campaigns.overview import CampaignOutline, Place, Wanted, list_outlines, read_granted

STATES: Final = get_args(State)

# Local days reach this far beyond the month in UTC.
_ZONES: Final = timedelta(hours=15)
_MOST_IN_MONTH: Final = 200
_PAGE: Final = 25
_OVERLAPS: Final = 20
_QUERY: Final = ("program", "state", "search", "month", "after")


# No month of these lacks a month before or after it.
_MONTH: Final = re.compile(r"(19|2\d)\d\d-(0[1-9]|1[0-2])")


class CampaignListController(Controller):
    path = "/campaigns"

    @get(opt=needs(Permission.VIEW))
    async def campaigns(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        program, state, search, month, after = (asked(request, name) for name in _QUERY)
        programs = [known for known in visitor.programs if program in ("", known)]
        chosen = state if state in STATES else None
        wanted = Wanted(state=chosen, text=search)  # type: ignore[arg-type]  # One of the states.
        found = await list_outlines(visitor.services, programs, wanted, after=_place(after), limit=_PAGE + 1)
        rows = [item for _, item in found[:_PAGE]]
        granted = await read_granted(visitor.services, rows) if asked(request, "granted") else None
        shown = await _month(visitor, programs, month)
        overlaps = overlaps_in(shown)
        return page(
            request,
            visitor,
            "campaigns/overview.html",
            programs=visitor.programs,
            states=STATES,
            chosen={
                "program": program,
                "state": chosen or "",
                "search": search,
                "month": month,
                "after": after,
            },
            month=shown,
            overlaps=overlaps[:_OVERLAPS],
            more_overlaps=max(len(overlaps) - _OVERLAPS, 0),
            campaigns=rows,
            granted=granted,
            next_page=_text(found[_PAGE - 1][0]) if len(found) > _PAGE else "",
            is_first_page=not after,
        )


async def _month(visitor: Visitor, programs: list[str], month: str) -> Month:
    today = visitor.services.clock.now().date()
    first = _first_day(month) or today.replace(day=1)
    last = month_of(first, today, ()).last
    wanted = Wanted(
        start=datetime.combine(first, time(), UTC) - _ZONES,
        end=datetime.combine(last, time(), UTC) + timedelta(days=1) + _ZONES,
    )
    found = await list_outlines(visitor.services, programs, wanted, after=None, limit=_MOST_IN_MONTH)
    return month_of(first, today, [item for _, item in found if _is_planned(item)])


def _is_planned(campaign: CampaignOutline) -> bool:
    """Drafts show in the calendar too: a marketer plans with them."""
    return campaign.until > campaign.from_


def _first_day(month: str) -> date | None:
    """The first day of a month of our time such as 2026-12; None for any other text."""
    return date.fromisoformat(f"{month}-01") if _MONTH.fullmatch(month) else None


def _place(text: str) -> Place | None:
    begins, _, key = text.partition("/")
    program_id, _, campaign_id = key.partition("/")
    if not campaign_id or not begins.removeprefix("-").isdecimal():
        return None
    return int(begins), program_id, campaign_id


def _text(place: Place) -> str:
    return "/".join(map(str, place))
