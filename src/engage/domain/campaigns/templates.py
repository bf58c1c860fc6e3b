"""Templates: campaigns that marketers begin with, made for the rules that a program has."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from engage.domain.campaigns.definition import Audience, Campaign, CampaignBoost, Stacking
from engage.domain.draws.definition import Draw
from engage.domain.program.program import Program
from engage.domain.quizzes.definition import Option, Question, Quiz, QuizAttempts

ORDERS: Final = ("order",)
JOINING: Final = ("registration", "app_sign_in")
TAPS: Final = ("fuel_tap",)

# Of campaigns that double points, a member has one at a time.
DOUBLE: Final = Stacking(group="double_points")


class Wanted(Struct, frozen=True, kw_only=True):
    """A campaign that somebody begins: its id, a title by locale, its first day, and the texts of a question
    and two answers, for the template that asks one.
    """

    id: str
    title: Mapping[str, str]
    begin: datetime
    question: Mapping[str, str]
    answers: Sequence[Mapping[str, str]]


class Template(Struct, frozen=True):
    """A kind of campaign that runs for some days. It fits programs with rules about one of its activities; an
    empty list fits all.
    """

    name: str
    days: int
    activities: Sequence[str]
    fill: Callable[[Campaign, Program, Wanted], Campaign]

    def fits(self, program: Program) -> bool:
        return not self.activities or bool(rules_about(program, self.activities))


def made_from(template: Template, program: Program, wanted: Wanted) -> Campaign:
    """A draft of a template that fits the program."""
    plain = Campaign(
        id=wanted.id,
        program=program.id,
        title=dict(wanted.title),
        from_=wanted.begin,
        until=wanted.begin + timedelta(days=template.days),
    )
    return template.fill(plain, program, wanted)


def rules_about(program: Program, activities: Sequence[str]) -> list[str]:
    """The ids of rules that pay points for one of these activities."""
    return [rule.id for rule in program.rules if rule.on.activity in activities and rule.unit == "points"]


def _replace(campaign: Campaign, **fields: object) -> Campaign:
    return Campaign(**{name: getattr(campaign, name) for name in campaign.__struct_fields__} | fields)


def _boosting(activities: Sequence[str], multiply: int, **more: object) -> Callable[..., Campaign]:
    """Fill in one boost of the rules about these activities."""

    def fill(campaign: Campaign, program: Program, _wanted: Wanted) -> Campaign:
        rules = rules_about(program, activities)
        return _replace(campaign, boosts=[CampaignBoost(id="boost", rules=rules, multiply=multiply)], **more)

    return fill


def _members_week(campaign: Campaign, program: Program, _wanted: Wanted) -> Campaign:
    parts = {"double_joining": JOINING, "double_purchase": ORDERS}
    boosts = [
        CampaignBoost(id=name, rules=rules, multiply=2)
        for name, activities in parts.items()
        if (rules := rules_about(program, activities))
    ]
    return _replace(campaign, boosts=boosts, stacking=Stacking(group="double_points", priority=20))


def _one_country(campaign: Campaign, program: Program, wanted: Wanted) -> Campaign:
    doubled = _boosting(ORDERS, 2, stacking=DOUBLE)(campaign, program, wanted)
    return _replace(doubled, audience=Audience(countries=[next(iter(program.countries))]))


def _draw(campaign: Campaign, _program: Program, wanted: Wanted) -> Campaign:
    draw = Draw(
        id=_definition_id(wanted.id),
        title=dict(wanted.title),
        opens_at=campaign.from_,
        closes_at=campaign.until,
        winners=10,
        points=500,
    )
    return _replace(campaign, draws=[draw])


def _quiz(campaign: Campaign, _program: Program, wanted: Wanted) -> Campaign:
    options = [Option(id=str(n), text=dict(text)) for n, text in enumerate(wanted.answers, start=1)]
    question = Question(id="1", kind="one", text=dict(wanted.question), options=options, right=["1"])
    quiz = Quiz(
        id=_definition_id(wanted.id),
        title=dict(wanted.title),
        attempts=QuizAttempts(count=1, window="day"),
        time_limit=timedelta(minutes=2),
        points_per_right=5,
        questions=[question],
    )
    return _replace(campaign, quizzes=[quiz])


def _definition_id(campaign_id: str) -> str:
    return campaign_id


TEMPLATES: Final = (
    Template("double_points", 7, ORDERS, _boosting(ORDERS, 2, stacking=DOUBLE)),
    Template("members_week", 5, (*JOINING, *ORDERS), _members_week),
    Template("double_days", 2, ORDERS, _one_country),
    Template("streak_booster", 7, TAPS, _boosting(TAPS, 2)),
    Template(
        "win_back",
        14,
        ORDERS,
        _boosting(ORDERS, 3, audience=Audience(no_order_for=timedelta(days=90)), holdout_percent=10),
    ),
    Template("draw", 14, (), _draw),
    Template("quiz_week", 7, (), _quiz),
)


def template_named(name: str) -> Template | None:
    return next((template for template in TEMPLATES if template.name == name), None)
