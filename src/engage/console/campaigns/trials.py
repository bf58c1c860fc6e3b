"""Dry runs: one activity of a member, or of somebody made up. Nothing comes of it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, get, post
from litestar.params import PathParameter
from litestar.response import Response

from engage.console.campaigns.documents import refused
from engage.console.campaigns.found import Page, find_page, path_of
from engage.console.campaigns.surroundings import markets_of, rules_of
from engage.console.campaigns.words import title_of_boost
from engage.console.context import HtmlRequest, Visitor, visitor_of
from engage.console.formats import Shows
from engage.console.forms import Form, read_form
from engage.console.mistakes import Mistake
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.activity import RuleActivity
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.parse import from_value
from engage.domain.document.decoding import JSON
from engage.domain.document.errors import DocumentError
from engage.domain.money import minor_units
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.dry_run import DryRunRequest, MadeUpMember, dry_run

CampaignId = Annotated[str, PathParameter()]

ACTIVITIES: Final = (
    "order",
    "fuel_tap",
    "registration",
    "app_sign_in",
    "share",
    "review",
    "visit",
    "birthday",
)
_LARGEST: Final = Decimal(10**12)  # An amount of an order.

CHANNELS: Final = ("web", "app", "store")


class CampaignTrialController(Controller):
    path = "/campaigns/{campaign_id:str}/try"

    @get(opt=needs(Permission.VIEW))
    async def form(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[bytes]:
        visitor = visitor_of(request)
        return _page(request, visitor, await find_page(request, visitor, campaign_id), {})

    @post(status_code=200, opt=needs(Permission.VIEW))
    async def run(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[bytes]:
        visitor, form = visitor_of(request), await read_form(request)
        found = await find_page(request, visitor, campaign_id)
        typed = {name: form.text(name) for name in form.fields}
        campaign = from_value(found.campaign.document, source="", notation=JSON)
        if typed.get("member_id") and not visitor.may(Permission.READ_MEMBERS):
            return _page(request, visitor, found, typed, [Mistake("member_id", "role", None)], status=403)
        try:
            wanted = _request(visitor, campaign, form)
            result = await dry_run(visitor.services, wanted)
        except DocumentError as error:
            return _page(request, visitor, found, typed, refused(error.problems).mistakes, status=422)
        except InvalidOperation:
            return _page(
                request, visitor, found, typed, [Mistake("amount", "not_an_amount", None)], status=422
            )
        except msgspec.ValidationError as error:
            return _page(request, visitor, found, typed, [Mistake("activity", str(error), None)], status=422)
        except Refusal as refusal:
            if refusal.code is not Code.UNKNOWN_MEMBER:
                raise
            text = visitor.refusal_text(refusal)
            return _page(request, visitor, found, typed, [Mistake("member_id", text, None)], status=422)
        return _page(request, visitor, found, typed, result=result)


def _request(visitor: Visitor, campaign: Campaign, form: Form) -> DryRunRequest:
    """Raises DocumentError, ValidationError, InvalidOperation."""
    member_id = form.text("member_id") or None
    markets = markets_of(visitor.services.programs.versions(campaign.program))
    country = form.text("country") or next(iter(markets))
    made_up = MadeUpMember(
        country=country,
        tier=form.text("tier") or None,
        segments=[segment.strip() for segment in form.text("segments").split(",") if segment.strip()],
        joined_at=_moment(form.moment("joined_at")),
        last_order_at=_moment(form.moment("last_order_at")),
        held_out=bool(form.text("held_out")),
    )
    return DryRunRequest(
        program_id=campaign.program,
        document=campaign,
        campaign_ids=None,
        with_published=bool(form.text("with_published")),
        member_id=member_id,
        made_up=None if member_id else made_up,
        activity=_activity(form, markets[country].currency if country in markets else ""),
        at=_moment(form.moment("at")),
    )


def _activity(form: Form, currency: str) -> RuleActivity:
    """Raises ValidationError, InvalidOperation."""
    kind = form.text("activity") or "order"
    product = form.text("product") or "product"
    fields: dict[str, Any] = {"activity": kind}
    match kind:
        case "order":
            fields |= _order(form, currency, product)
        case "share":
            fields |= {"kind": "link", "product_id": product}
        case "review":
            fields |= {"product_id": product, "review_id": "trial"}
        case "visit":
            fields |= {"page": form.text("page") or "home"}
        case "birthday":
            fields |= {"year": 2000}
    activity: RuleActivity = msgspec.convert(fields, RuleActivity)
    return activity


def _order(form: Form, currency: str, product: str) -> Mapping[str, Any]:
    """An order of one line. Its amount is in the country's currency, as people write it."""
    amount = Decimal(form.text("amount").replace(" ", "").replace(",", ".") or "100")
    if not amount.is_finite() or abs(amount) > _LARGEST:
        raise InvalidOperation
    line: dict[str, Any] = {
        "line_id": "1",
        "product_id": product,
        "paid": minor_units(amount, currency),
    }
    if form.text("category"):
        line["category"] = form.text("category")
    return {
        "order_id": "trial",
        "channel": form.text("channel") or "web",
        "payment": {"method": "card"},
        "lines": [line],
        "currency": currency,
    }


def _moment(text: str) -> datetime | None:
    """A local date-time of a form; None for an empty field. Raises ValidationError."""
    return msgspec.convert(text, datetime) if text else None


def _page(
    request: HtmlRequest,
    visitor: Visitor,
    found: Page,
    typed: Mapping[str, str],
    mistakes: list[Mistake] | None = None,
    *,
    result: Any = None,
    status: int = 200,
) -> Response[bytes]:
    versions = visitor.services.programs.versions(found.campaign.program)
    rules = rules_of(versions, visitor.language)
    refusal = result.outcome.refusal if result else None
    begins = found.campaign.document["from"][:16]
    usual = {"activity": "order", "at": begins, "amount": "199", "channel": "web"}
    return page(
        request,
        visitor,
        "campaigns/try.html",
        status=status,
        campaign=found.campaign,
        path_of=path_of,
        typed=usual | (dict(typed) or {"with_published": "yes"}),
        mistakes=mistakes or [],
        result=result,
        rules=rules,
        part_names={
            boost["id"]: title_of_boost(boost, rules, visitor.language)
            for boost in found.campaign.document.get("boosts", [])
        },
        activities=ACTIVITIES,
        channels=CHANNELS,
        countries=[
            (country, f"{Shows(visitor.language).country(country)} ({market.currency})")
            for country, market in markets_of(versions).items()
        ],
        tiers=[level.id for group in versions[-1].tier_groups for level in group.levels],
        refusal_text=visitor.refusal_text(refusal) if refusal else "",
    )
