"""A program document: the rules of one market for a time, as data.

A document is TOML, decoded into these structs by `engage.domain.document`. Every kind of limit, award and
due time is one tagged struct; a new kind of rule is a new struct and a branch where it is
matched, never a question which program it is.
"""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from engage.domain.activity import ONE_LINE, AnyActivity
from engage.domain.calendar import WindowKind

# A $ alone lets a newline through at the end, so the patterns rule that out.
ProgramId = Annotated[
    str,
    Meta(
        max_length=32,
        pattern=r"^[a-z][a-z0-9-]*(?!\n)$",
        description="a name of small letters, digits and -, at most 32, beginning with a letter",
    ),
]
VersionName = Annotated[
    str,
    Meta(
        max_length=32,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(?!\n)$",
        description="a name of letters, digits and . _ -, at most 32, such as 2022 or 2022-autumn",
    ),
]
RuleId = Annotated[
    str,
    Meta(
        max_length=48,
        pattern=r"^[a-z][a-z0-9_]*(?!\n)$",
        description="a name of small letters, digits and _, at most 48, beginning with a letter",
    ),
]
Title = Annotated[
    str,
    Meta(max_length=200, pattern=ONE_LINE, description="one line of text, at most 200 long"),
]
Country = Annotated[
    str,
    Meta(pattern=r"^[A-Z]{2}(?!\n)$", description="a country's two letters (ISO 3166-1), such as ES"),
]
Currency = Annotated[
    str,
    Meta(pattern=r"^[A-Z]{3}(?!\n)$", description="a currency's three letters (ISO 4217), such as EUR"),
]
Points = Annotated[int, Meta(ge=1, le=1_000_000)]

# The gate keeps the slots of a window as bits of one 32-bit number.
SLOTS_PER_WINDOW = 32


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every struct of a document: a field that nobody knows is a mistake, and is said."""


class Market(Part, frozen=True):
    """What a country has of its own. The zone is that of its members' days and months."""

    zone: Annotated[str, Meta(description="an IANA time zone, such as Europe/Madrid")]
    currency: Currency


class Eligibility(Part, frozen=True):
    """Who may join. Without a birth date the shop has vouched for the age."""

    min_age: Annotated[int, Meta(ge=0, le=120)] | None = None
    kinds: list[Literal["person", "company"]] = field(default_factory=lambda: ["person"])
    one_account_a_person: bool = True


# What a rule is about: an activity, and for shares which kind of share.


class On(Part, frozen=True):
    activity: Literal["registration", "app_sign_in", "fuel_tap", "share", "review"]
    kind: Literal["social", "link"] | None = None


# How often a rule pays. Each limit names the slots that a credit can take (`engage.domain.slots`).


class Once(Part, frozen=True, tag="once"):
    """Once in a member's life."""


class OncePer(Part, frozen=True, tag="once_per"):
    """Once for each value of a field of the activity: the first review of each product."""

    field: Literal["product_id"]


class PerWindow(Part, frozen=True, tag="per_window"):
    """So many times in a calendar window of the member's zone."""

    count: Annotated[int, Meta(ge=1, le=SLOTS_PER_WINDOW)]
    window: WindowKind


class DailyStreak(Part, frozen=True, tag="daily_streak"):
    """Once a day, counting the days in a row."""


class SameAs(Part, frozen=True, tag="same_as"):
    """Whenever that other rule of the same activity gets its slot; takes none of its own."""

    rule: RuleId


Limit = Once | OncePer | PerWindow | DailyStreak | SameAs


# What a rule pays.


class Fixed(Part, frozen=True, tag="fixed"):
    points: Points


class EveryNthDay(Part, frozen=True, tag="every_nth_day"):
    """On day `days` of a streak, and again on day 2 × `days`, and so on."""

    points: Points
    days: Annotated[int, Meta(ge=2, le=366)]


Award = Fixed | EveryNthDay


# When points become active.


class After(Part, frozen=True, tag="after"):
    """A fixed time after the activity."""

    delay: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT5M, PT24H or P1D")]


Due = After


# When active points end.


class Never(Part, frozen=True, tag="never"):
    """Points do not expire."""


class Rolling(Part, frozen=True, tag="rolling"):
    """So many months after they became active, at the same local time."""

    months: Annotated[int, Meta(ge=1, le=120)]


Expiry = Never | Rolling


class Rule(Part, frozen=True):
    id: RuleId
    title: Title
    on: On
    limit: Limit
    award: Award
    due: Due


# A document proves itself by examples: given these activities, expect these credits.

# The codes of the refusals that a decision can end in (`engage.domain.decide`).
RefusalCode = Literal["not_offered", "already_tapped", "limit_reached", "already_rewarded"]


class ExpectedCredit(Part, frozen=True):
    rule: RuleId
    points: Points
    source_key: str | None = None
    # Without an offset these are the local time of the example's country.
    due_at: datetime | None = None
    expires_at: datetime | None = None


class Step(Part, frozen=True):
    """One activity, or the same one again each day, and what has to come of each."""

    at: datetime  # Without an offset: local time of the example's country.
    do: AnyActivity
    earns: list[ExpectedCredit] = field(default_factory=list)
    refused: RefusalCode | None = None
    days: Annotated[int, Meta(ge=1, le=1000)] = 1


class Example(Part, frozen=True):
    title: Title
    country: Country
    steps: Annotated[list[Step], Meta(min_length=1)]
    total: int | None = None  # Sum of the points of all credits of the example.


class Program(Part, frozen=True, kw_only=True):
    """One version of a program. Published versions never change; a change is a new version."""

    id: ProgramId
    version: VersionName
    title: Title
    in_force_from: Annotated[
        date, Meta(description="a date, such as 2022-09-01: from its start in each member's zone")
    ]
    source: Annotated[Title | None, Meta(description="Where these rules are told to members")] = None
    countries: Annotated[dict[Country, Market], Meta(min_length=1)]
    eligibility: Eligibility
    expiry: Expiry
    rules: Annotated[list[Rule], Meta(min_length=1, max_length=200)]
    examples: list[Example] = field(default_factory=list)

    def rule(self, rule_id: str) -> Rule:
        return next(rule for rule in self.rules if rule.id == rule_id)
