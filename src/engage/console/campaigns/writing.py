"""New campaigns, from a template or a copy, and the editor: a form beside the document."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from litestar import Controller, get, post
from litestar.params import PathParameter
from litestar.response import Redirect, Response
from msgspec import Struct

from engage.console.campaigns.documents import (
    BOOSTS_IN_FORM,
    read_fields,
    read_text,
    refused,
    text_of,
    with_fields,
)
from engage.console.campaigns.found import find, local_moment, path_of
from engage.console.campaigns.surroundings import markets_of, rules_of
from engage.console.campaigns.words import field_name, shown, title_of_boost
from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.formats import Shows
from engage.console.forms import do_once, read_form
from engage.console.mistakes import Mistake, Refused
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.campaigns.definition import MEMBER_ZONE, WEEKDAYS, Campaign
from engage.domain.campaigns.parse import from_value
from engage.domain.campaigns.templates import TEMPLATES, Wanted, made_from, template_named
from engage.domain.document.compact import compact
from engage.domain.document.decoding import JSON
from engage.domain.document.difference import Difference
from engage.domain.document.errors import DocumentError
from engage.domain.operators.roles import Permission
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.change import change, create
from engage.flows.campaigns.read import show_campaign
from engage.flows.segments.read import list_segment_ids
from engage.messages.catalogue import DEFAULT, translate
from engage.store.campaigns.versions import CampaignKey

CampaignId = Annotated[str, PathParameter()]

# Templates begin on the next Monday, unless the marketer says otherwise.
_DAYS: Final = 7
_SEGMENTS: Final = 100

CHANNELS: Final = ("web", "app", "store")


class Editing(Struct, frozen=True, kw_only=True):
    """A document that is being written: as it is stored, or as somebody typed it."""

    key: CampaignKey
    version: int
    revision: int
    fields: Mapping[str, Any]
    text: str
    mistakes: list[Mistake] = []
    theirs: list[Difference] = []
    is_changed: bool = False  # Somebody else has changed the campaign since the page was opened.

    @property
    def tag(self) -> str:
        return f"{self.version}.{self.revision}"


class CampaignWritingController(Controller):
    path = "/campaigns"

    @get("/new", opt=needs(Permission.WRITE))
    async def new(self, request: HtmlRequest) -> Response[bytes]:
        return _new_page(request, {})

    @post("/new", status_code=303, opt=needs(Permission.WRITE))
    async def create(self, request: HtmlRequest) -> Response[Any]:
        """Write the draft of a template, and open the editor."""
        visitor, form = visitor_of(request), await read_form(request)
        typed = {name: form.text(name) for name in ("program", "template", "id", "title", "begin")}
        template, program = template_named(typed["template"]), _program(visitor, typed["program"])
        begin = local_moment(typed["begin"])
        missing = [
            Mistake(name, "", None)
            for name, is_there in (
                ("template", template is not None),
                ("id", bool(typed["id"])),
                ("title", bool(typed["title"])),
                ("begin", begin is not None),
            )
            if not is_there
        ]
        if template is None or begin is None or missing:
            return _new_page(request, typed, missing, status=422)
        campaign = made_from(template, program, _wanted(visitor, typed["id"], typed["title"], begin))
        try:
            campaign = await read_fields(visitor.services, compact(campaign))
            return await do_once(
                request,
                visitor,
                lambda once: create(visitor.services, campaign, operator=visitor.identity, keyed=once),
                lambda written: path_of((program.id, written.id), "/edit") + "&done=campaign.created",
            )
        except Refused as error:
            return _new_page(request, typed, error.mistakes, status=422)
        except Refusal as refusal:
            if refusal.code is not Code.EXISTS:
                raise
            return _new_page(request, typed, [Mistake("id", "exists", None)], status=409)

    @get("/{campaign_id:str}/edit", opt=needs(Permission.WRITE))
    async def edit(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[bytes]:
        visitor = visitor_of(request)
        key = await find(request, visitor, campaign_id)
        return await _editor(request, visitor, await _stored(visitor, key))

    @post("/{campaign_id:str}/edit", status_code=303, opt=needs(Permission.WRITE))
    async def save_form(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[Any]:
        """Save the fields of the form into the document, as it was when the form was opened."""
        visitor, form = visitor_of(request), await read_form(request)
        key = await find(request, visitor, campaign_id)
        editing = await _stored(visitor, key)
        fields = with_fields(editing.fields, form, visitor.language)
        typed = _typed(editing, form.text("tag"), fields=fields)
        try:
            campaign = await read_fields(visitor.services, fields)
        except Refused as error:
            return await _editor(request, visitor, _typed(typed, typed.tag, mistakes=error.mistakes), 422)
        return await _save(request, visitor, _typed(typed, typed.tag, text=text_of(campaign)), campaign)

    @post("/{campaign_id:str}/document", status_code=303, opt=needs(Permission.WRITE))
    async def save_document(self, request: HtmlRequest, campaign_id: CampaignId) -> Response[Any]:
        """Save the document as text."""
        visitor, form = visitor_of(request), await read_form(request)
        key = await find(request, visitor, campaign_id)
        text = form.lines("document")
        typed = _typed(await _stored(visitor, key), form.text("tag"), text=text)
        try:
            campaign = await read_text(visitor.services, text)
        except Refused as error:
            return await _editor(request, visitor, _typed(typed, typed.tag, mistakes=error.mistakes), 422)
        if (campaign.program, campaign.id) != key:
            wrong = "id" if campaign.id != key[1] else "program"
            mistakes = [Mistake(wrong, "kept", None)]
            return await _editor(request, visitor, _typed(typed, typed.tag, mistakes=mistakes), 422)
        fields = compact(campaign)
        return await _save(request, visitor, _typed(typed, typed.tag, fields=fields), campaign)


async def _save(request: HtmlRequest, visitor: Visitor, typed: Editing, campaign: Campaign) -> Response[Any]:
    """Write the document. Where somebody else was faster, show what they changed, and keep what was typed."""
    expected = typed.version, typed.revision
    try:
        await change(visitor.services, campaign, expected=expected, operator=visitor.identity)
    except DocumentError as error:
        mistakes = refused(error.problems, typed.text).mistakes
        return await _editor(request, visitor, _typed(typed, typed.tag, mistakes=mistakes), 422)
    except Refusal as refusal:
        if refusal.code is not Code.CHANGED_MEANWHILE:
            raise
        newest = await _stored(visitor, typed.key)
        theirs = list(refusal.facts["difference"])
        # Saving once more replaces what the other wrote, now that it was shown.
        again = _typed(typed, newest.tag, theirs=theirs, is_changed=True)
        return await _editor(request, visitor, again, 412)
    return Redirect(path_of(typed.key, "/edit") + "&done=campaign.saved", status_code=303)


async def _stored(visitor: Visitor, key: CampaignKey) -> Editing:
    view = await show_campaign(visitor.services, key, None)
    campaign = from_value(view.document, source="", notation=JSON)
    return Editing(
        key=key,
        version=view.version,
        revision=view.revision,
        fields=view.document,
        text=text_of(campaign),
    )


def _typed(editing: Editing, tag: str, **fields: Any) -> Editing:
    """The same with what somebody typed, on the (version, revision) that their page was opened with."""
    version, _, revision = tag.partition(".")
    numbers = (int(version), int(revision)) if version.isdecimal() and revision.isdecimal() else (0, 0)
    kept = {name: getattr(editing, name) for name in Editing.__struct_fields__}
    return Editing(**kept | {"version": numbers[0], "revision": numbers[1]} | fields)


async def _editor(
    request: HtmlRequest, visitor: Visitor, editing: Editing, status: int = 200
) -> Response[bytes]:
    versions = visitor.services.programs.versions(editing.key[0])
    markets = markets_of(versions)
    titles = rules_of(versions, visitor.language)
    segments = await list_segment_ids(visitor.services, editing.key[0], limit=_SEGMENTS)
    view = await show_campaign(visitor.services, editing.key, None)
    by_field: dict[str, str] = {}
    for mistake in editing.mistakes:
        by_field.setdefault(mistake.field, mistake.message)
    return page(
        request,
        visitor,
        "campaigns/edit.html",
        status=status,
        editing=editing,
        path_of=path_of,
        problem_at=lambda field: by_field.get(field, ""),
        rules=list(titles.items()),
        countries=[(country, Shows(visitor.language).country(country)) for country in markets],
        zones=[MEMBER_ZONE, *dict.fromkeys(market.zone for market in markets.values())],
        tiers=[level.id for group in versions[-1].tier_groups for level in group.levels],
        segments=segments,
        weekday_options=[(day, _label(f"weekday.{day}", visitor)) for day in WEEKDAYS],
        channel_options=[(channel, _label(f"channel.{channel}", visitor)) for channel in CHANNELS],
        newest=view,
        boost_title=lambda boost: title_of_boost(boost, titles, visitor.language),
        field_name=lambda field: field_name(field, editing.fields, titles, visitor.language),
        shown=lambda field, value: shown(field, value, titles, visitor.language),
        is_beyond_draft=view.state != "draft",
        boosts_in_form=BOOSTS_IN_FORM,
    )


def _label(key: str, visitor: Visitor) -> str:
    return translate(f"console.{key}", visitor.language, {})


def _new_page(
    request: HtmlRequest,
    typed: Mapping[str, str],
    mistakes: Sequence[Mistake] = (),
    *,
    status: int = 200,
) -> Response[bytes]:
    visitor = visitor_of(request)
    program = _program(visitor, typed.get("program") or asked(request, "program"))
    today = visitor.services.clock.now().date()
    begin = today + timedelta(days=_DAYS - today.weekday())
    return page(
        request,
        visitor,
        "campaigns/new.html",
        status=status,
        programs=visitor.programs,
        program=program,
        templates=[template for template in TEMPLATES if template.fits(program)],
        typed={"template": asked(request, "template"), "begin": f"{begin}T00:00"} | dict(typed),
        mistakes=mistakes,
        problem_at=lambda field: next(
            (each.message or "missing" for each in mistakes if each.field == field), ""
        ),
    )


def _program(visitor: Visitor, program_id: str) -> Program:
    """The newest version of a program of the operator, of the first one where none is named.

    Raises NotFoundException, and Refusal not_found for an operator without a program.
    """
    if not visitor.programs:
        raise Refusal(Code.NOT_FOUND)
    chosen = program_id or visitor.programs[0]
    visitor.check_program(chosen)
    return visitor.services.programs.versions(chosen)[-1]


def _wanted(visitor: Visitor, id_: str, title: str, begin: datetime) -> Wanted:
    """The texts of a template in the operator's language, and in English for everybody else."""
    languages = dict.fromkeys((visitor.language, DEFAULT))

    def texts(key: str) -> dict[str, str]:
        return {language: translate(f"console.template.{key}", language, {}) for language in languages}

    return Wanted(
        id=id_,
        title=dict.fromkeys(languages, title),
        begin=begin,
        question=texts("question"),
        answers=[texts("answer_right"), texts("answer_wrong")],
    )
