"""A campaign: its state and what to do with it, its live report, its versions with their differences."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

from litestar import Controller, get, post
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response import Response

from engage.console.campaigns.documents import refused
from engage.console.campaigns.found import (
    WITH_REASON,
    Page,
    find,
    find_page,
    local_moment,
    needed_for,
    path_of,
    read_page,
)
from engage.console.campaigns.surroundings import rules_of
from engage.console.campaigns.words import changes
from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import Form, do_once, read_form
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.campaigns.lifecycle import WITH_LIVE, WITH_NEWEST, ActionKind
from engage.domain.document.errors import DocumentError
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.act import act
from engage.flows.campaigns.change import duplicate
from engage.flows.campaigns.read import show_campaign
from engage.flows.campaigns.report import report_campaign
from engage.store.campaigns.report import HourGrants

CampaignId = Annotated[str, PathParameter()]

_ACTIONS: Final[tuple[ActionKind, ...]] = (*WITH_NEWEST, *WITH_LIVE)
_REASON: Final = 500

# Bars of the chart of points by hour.
_HOURS: Final = 72


class CampaignController(Controller):
    path = "/campaigns/{campaign_id:str}"

    @get(opt=needs(Permission.VIEW))
    async def overview(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[bytes]:
        visitor = visitor_of(request)
        return await _overview(request, visitor, await find_page(request, visitor, campaign_id))

    @get("/report", opt=needs(Permission.VIEW))
    async def report(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[bytes]:
        """The report alone: the page asks for it again while the campaign runs. The comparison with members
        held out is made when somebody asks for it.
        """
        visitor = visitor_of(request)
        key = await find(request, visitor, campaign_id)
        report = await report_campaign(visitor.services, key, compares=asked(request, "holdout") == "yes")
        return page(
            request,
            visitor,
            "campaigns/report.html",
            report=report,
            key=key,
            path_of=path_of,
            hours=_hours(report.by_hour),
            zone=_zone(visitor, key[0]),
        )

    @get("/versions", opt=needs(Permission.VIEW))
    async def versions(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[bytes]:
        visitor = visitor_of(request)
        found = await find_page(request, visitor, campaign_id)
        key = found.campaign.program, found.campaign.id
        numbers = [each.version for each in found.campaign.versions]
        after = _version(asked(request, "after"), numbers) or numbers[-1]
        before = _version(asked(request, "before"), numbers) or max(1, after - 1)
        views = [await show_campaign(visitor.services, key, number) for number in (before, after)]
        rules = rules_of(visitor.services.programs.versions(key[0]), visitor.language)
        return page(
            request,
            visitor,
            "campaigns/versions.html",
            found=found,
            campaign=found.campaign,
            path_of=path_of,
            before=views[0],
            after=views[1],
            changes=changes(views[0].document, views[1].document, rules, visitor.language),
        )

    @post("/act", status_code=303, opt=needs(Permission.VIEW))
    async def act(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[Any]:
        """Do what the button says, once. The role has to allow it, and the version has to be the one that was
        shown.
        """
        visitor, form = visitor_of(request), await read_form(request)
        key = await find(request, visitor, campaign_id)
        action = next((known for known in _ACTIONS if known == form.text("action")), None)
        if action is None or not visitor.may(needed_for(action)):
            raise Refusal(Code.FORBIDDEN, scope=str(needed_for(action or "ended")))
        reason = form.text("reason")[:_REASON]
        if action in WITH_REASON and not reason:
            return await _overview(
                request, visitor, await read_page(visitor, key), problem="reason", action=action, status=422
            )
        try:
            return await do_once(
                request,
                visitor,
                lambda once: act(
                    visitor.services,
                    key,
                    action,
                    operator=visitor.identity,
                    reason=reason or None,
                    expected=_tag(form),
                    keyed=once,
                ),
                lambda _: path_of(key) + f"&done=campaign.{action}",
            )
        except DocumentError as error:
            mistakes = refused(error.problems).mistakes
            return await _overview(
                request, visitor, await read_page(visitor, key), mistakes=mistakes, status=422
            )
        except Refusal as refusal:
            if refusal.code is Code.NOT_FOUND:
                raise
            return await _overview(
                request, visitor, await read_page(visitor, key), refusal=refusal, status=refusal.status
            )

    @post("/copy", status_code=303, opt=needs(Permission.WRITE))
    async def copy(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[Any]:
        """Write a copy under another id, moved to begin on another day, and open it."""
        visitor, form = visitor_of(request), await read_form(request)
        key = await find(request, visitor, campaign_id)
        typed = {name: form.text(name) for name in ("new_id", "begin")}
        begin = local_moment(typed["begin"])
        there = {"new_id": bool(typed["new_id"]), "begin": begin is not None}
        problems = {name: "missing" for name, is_there in there.items() if not is_there}
        try:
            if not problems:
                return await do_once(
                    request,
                    visitor,
                    lambda once: duplicate(
                        visitor.services,
                        key,
                        typed["new_id"],
                        begin=begin,
                        operator=visitor.identity,
                        keyed=once,
                    ),
                    lambda written: path_of((key[0], written.id), "/edit") + "&done=campaign.created",
                )
        except DocumentError as error:
            fields = {"id": "new_id", "from": "begin"}
            problems = {fields.get(each.path, "new_id"): each.mistake for each in error.problems}
        except Refusal as refusal:
            if refusal.code is not Code.EXISTS:
                raise
            problems = {"new_id": "exists"}
        found = await read_page(visitor, key)
        return await _overview(request, visitor, found, copy=typed, copy_problems=problems, status=422)


async def _overview(
    request: HtmlRequest, visitor: Visitor, found: Page, *, status: int = 200, **more: Any
) -> Response[bytes]:
    campaign = found.campaign
    values = {"problem": "", "action": "", "mistakes": [], "refusal": None, "copy": {}} | more
    return page(
        request,
        visitor,
        "campaigns/detail.html",
        status=status,
        found=found,
        campaign=campaign,
        path_of=path_of,
        tag=f"{campaign.version}.{campaign.revision}",
        zone=_zone(visitor, campaign.program),
        with_reason=WITH_REASON,
        refusal_text=visitor.refusal_text(values["refusal"]) if values["refusal"] else "",
        **values,
    )


def _hours(granted: Sequence[HourGrants]) -> list[HourGrants]:
    """The last hours, also those in which nothing was granted."""
    if not granted:
        return []
    known = {each.hour: each for each in granted}
    last = granted[-1].hour
    first = max(granted[0].hour, last - timedelta(hours=_HOURS - 1))
    hours = [first + timedelta(hours=n) for n in range((last - first) // timedelta(hours=1) + 1)]
    return [known.get(hour) or HourGrants(hour, 0, 0) for hour in hours]


def _zone(visitor: Visitor, program: str) -> str:
    """The zone of the program's main country."""
    return next(iter(visitor.services.programs.versions(program)[0].countries.values())).zone


def _tag(form: Form) -> tuple[int, int] | None:
    version, _, revision = form.text("tag").partition(".")
    return (int(version), int(revision)) if version.isdecimal() and revision.isdecimal() else None


def _version(text: str, known: list[int]) -> int | None:
    """Raises NotFoundException for a version that there is not."""
    if not text:
        return None
    if not text.isdecimal() or int(text) not in known:
        raise NotFoundException
    return int(text)
