"""Operators try campaigns before they are in force: dry runs of one activity, and simulations of a member."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Controller, Request, post
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import read_body
from engage.api.http.callers import approver_of, operator_idempotency
from engage.api.http.campaign_documents import DOCUMENT_BYTES, decode_trial
from engage.api.http.operation import APPROVER, Repeat, contract
from engage.api.http.problems import invalid_document
from engage.domain.activity import MemberId, RuleActivity
from engage.domain.campaigns.audience import Facts
from engage.domain.campaigns.boosting import Look
from engage.domain.campaigns.definition import Campaign, CampaignId
from engage.domain.definitions.definition import DefinitionId, Moment
from engage.domain.document.errors import DocumentError
from engage.domain.document.fields import Country, ProgramId, RuleId
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS, Unit
from engage.domain.playback.statement import PlayedStep
from engage.domain.program.example import TimedStep
from engage.domain.refusals import Refusal, UseCase
from engage.flows.campaigns.dry_run import DryRunRequest, DryRunResult, MadeUpMember, dry_run
from engage.flows.campaigns.looked_at import NOT_STORED
from engage.flows.campaigns.simulate import SimulationRequest, Statement, run_simulation

CAMPAIGNS: Final = 100
STEPS: Final = 500

CampaignIds = Annotated[list[CampaignId], Meta(max_length=CAMPAIGNS)]
Documents = Annotated[list[Campaign], Meta(max_length=20)]
Steps = Annotated[list[TimedStep], Meta(min_length=1, max_length=STEPS)]


class MemberFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody made up, who has joined with the activity unless `joined_at` says when, and has only what is
    said here. Times without an offset are local times of the country. `held_out`: in the group that gets
    nothing of campaigns that hold members out; otherwise in every share of members.
    """

    country: Country
    tier: RuleId | None = None
    tiers: Annotated[list[RuleId], Meta(max_length=10)] = []
    segments: Annotated[list[DefinitionId], Meta(max_length=100)] = []
    joined_at: Moment | None = None
    last_order_at: Moment | None = None
    held_out: bool = False


class DryRunBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A campaign's document, stored campaigns by their ids, or both together; without them, all campaigns of
    the program that are published, which `with_published` adds to the document and the ids. A member, or
    facts of somebody. `at` is now without it; without an offset it is a local time of the member.
    """

    program: ProgramId
    document: Campaign | None = None
    campaign_ids: CampaignIds | None = None
    with_published: bool = False
    member_id: MemberId | None = None
    facts: MemberFacts | None = None
    activity: RuleActivity
    at: Moment | None = None


class TriedCredit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A credit that would be granted. `campaign` is the campaign that pays it, `boost` the boost that adds it
    beside the one of its rule. Without a due time it `waits_for` something.
    """

    rule: str
    points: int
    unit: Unit
    due_at: datetime | None
    expires_at: datetime | None
    source_key: str
    campaign: str | None = None
    boost: str | None = None
    waits_for: Literal["delivery", "confirmation"] | None = None


class TraceItem(Struct, frozen=True, kw_only=True):
    """A part of a campaign that was looked at: one of its boosts or rules, its `audience`, or the `campaign`.
    `version` null is the document of the request; `rule` is that of the credit that the look is about.
    """

    campaign: str
    version: int | None
    part: str
    applied: bool
    reason: str
    rule: str | None
    facts: dict[str, Any]


class Refused(Struct, frozen=True):
    """The refusal that an activity would get."""

    code: str
    facts: dict[str, Any]


class KnownFacts(Struct, frozen=True, kw_only=True):
    """The facts before the activity. Tiers, segments and orders are read only where campaigns ask."""

    country: str
    zone: str
    joined_at: datetime
    tiers: Sequence[str]
    segments: Sequence[str]
    last_order_at: datetime | None


class DryRunAnswer(Struct, frozen=True, kw_only=True):
    """The credits, none where the activity is refused, under a version of the program. Every campaign has at
    least one line in the trace.
    """

    at: datetime
    version: str
    facts: KnownFacts
    credits: list[TriedCredit]
    refused: Refused | None
    trace: list[TraceItem]


class SimulationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents, stored campaigns by their ids, or both together; without them, the program alone.

    `steps` are those of examples, without expectations. Times without an offset are local times of the
    country. The member is in `segments` from the beginning, and in no other, also of those that are computed.
    """

    program: ProgramId
    documents: Documents = []
    campaign_ids: CampaignIds = []
    country: Country
    segments: Annotated[list[DefinitionId], Meta(max_length=100)] = []
    steps: Steps


class PointBalance(Struct, frozen=True):
    """Points after a step."""

    active: int
    pending: int
    held: int
    debt: int


class StatementStep(Struct, frozen=True, kw_only=True):
    """A step on one of its days; `step` counts those of the request from 0. `results` are those that are no
    credits, in words: what a quote, a redemption or a play gives.
    """

    step: int
    at: datetime
    credits: list[TriedCredit]
    refused: Refused | None
    results: Mapping[str, str]
    balance: PointBalance


class SimulationAnswer(Struct, frozen=True, kw_only=True):
    """The statement of the member, under a version of the program: all points that were granted (before
    anything was taken back), those of each campaign, and each step.
    """

    version: str
    points: int
    points_of_campaigns: dict[str, int]
    steps: list[StatementStep]


_dry_run = msgspec.json.Decoder(DryRunBody)
_simulation = msgspec.json.Decoder(SimulationBody)


class CampaignTrialController(Controller):
    path = "/v1/admin/campaigns"
    tags = ("Campaigns",)
    security = (APPROVER,)
    middleware = (operator_idempotency(DOCUMENT_BYTES),)

    @post(
        "/dry-run",
        status_code=200,
        operation_id="tryActivity",
        summary="Try one activity",
        response_description="What the activity would earn, and why each campaign gives something or not.",
        opt=contract(UseCase.TRY_ACTIVITY, body=DryRunBody, repeat=Repeat.ANSWERED_ANEW),
    )
    async def dry_run(self, request: Request[Any, Any, Any]) -> Answer[DryRunAnswer]:
        """Nothing is written. Campaigns by their ids count as they are or were in force; one that nobody has
        approved yet, and a document, as if they were.
        """
        api, key = await approver_of(request.scope)
        body = decode_trial(await read_body(request.scope, request.receive, DOCUMENT_BYTES), _dry_run)
        key.check(body.program)
        wanted = DryRunRequest(
            program_id=body.program,
            document=body.document,
            campaign_ids=body.campaign_ids,
            with_published=body.with_published,
            member_id=body.member_id,
            made_up=None if body.facts is None else MadeUpMember(**msgspec.structs.asdict(body.facts)),
            activity=body.activity,
            at=body.at,
        )
        try:
            return answer(_dry_run_answer(await dry_run(api.services, wanted)))
        except DocumentError as error:
            raise invalid_document(error.problems) from None

    @post(
        "/simulate",
        status_code=200,
        operation_id="simulateCampaigns",
        summary="Simulate a member",
        response_description="The statement of a made-up member, step by step.",
        opt=contract(UseCase.SIMULATE_CAMPAIGNS, body=SimulationBody, repeat=Repeat.ANSWERED_ANEW),
    )
    async def simulate(self, request: Request[Any, Any, Any]) -> Answer[SimulationAnswer]:
        """On a clock of its own, in memory: points become active and expire as time passes between steps."""
        api, key = await approver_of(request.scope)
        body = decode_trial(await read_body(request.scope, request.receive, DOCUMENT_BYTES), _simulation)
        key.check(body.program)
        wanted = SimulationRequest(
            program_id=body.program,
            documents=body.documents,
            campaign_ids=body.campaign_ids,
            country=body.country,
            segments=body.segments,
            steps=body.steps,
        )
        try:
            return answer(_simulation_answer(await run_simulation(api.services, wanted)))
        except DocumentError as error:
            raise invalid_document(error.problems) from None


def _dry_run_answer(result: DryRunResult) -> DryRunAnswer:
    outcome = result.outcome
    return DryRunAnswer(
        at=result.at,
        version=result.version,
        facts=_facts(result.facts),
        credits=[_credit(credit) for credit in outcome.credits],
        refused=_refused(outcome.refusal),
        trace=[_trace(look) for look in outcome.trace],
    )


def _facts(facts: Facts) -> KnownFacts:
    return KnownFacts(
        country=facts.country,
        zone=facts.zone,
        joined_at=facts.joined_at,
        tiers=sorted(facts.levels),
        segments=sorted(facts.segments),
        last_order_at=facts.last_order_at,
    )


def _credit(credit: NewCredit) -> TriedCredit:
    waiting: Literal["delivery", "confirmation"] = "delivery" if credit.lapses_at is None else "confirmation"
    return TriedCredit(
        rule=credit.rule_id,
        points=credit.points,
        unit=credit.unit,
        due_at=credit.due_at,
        expires_at=credit.expires_at,
        source_key=credit.source_key,
        campaign=credit.campaign,
        boost=credit.boost,
        waits_for=waiting if credit.due_at is None else None,
    )


def _refused(refusal: Refusal | None) -> Refused | None:
    return None if refusal is None else Refused(str(refusal.code), refusal.facts)


def _trace(look: Look) -> TraceItem:
    return TraceItem(
        campaign=look.campaign,
        version=None if look.version == NOT_STORED else look.version,
        part=look.part,
        applied=look.applied,
        reason=look.reason.value,
        rule=look.rule,
        facts=look.facts,
    )


def _simulation_answer(statement: Statement) -> SimulationAnswer:
    credits = [credit for credit in statement.credits if credit.unit == POINTS]
    of_campaigns: dict[str, int] = {}
    for credit in credits:
        if credit.campaign is not None:
            of_campaigns[credit.campaign] = of_campaigns.get(credit.campaign, 0) + credit.points
    return SimulationAnswer(
        version=statement.version,
        points=sum(credit.points for credit in credits),
        points_of_campaigns=of_campaigns,
        steps=[_step(step) for step in statement.steps],
    )


def _step(step: PlayedStep) -> StatementStep:
    balance = step.balance
    return StatementStep(
        step=step.index,
        at=step.at,
        credits=[_credit(credit) for credit in step.credits],
        refused=_refused(step.refusal),
        results=step.results,
        balance=PointBalance(balance.active, balance.pending, balance.held, balance.debt),
    )
