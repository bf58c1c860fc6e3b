"""Credits in answers to what earned them: each with why, in words."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from engage.domain.earning.unit import Unit
from engage.flows.activities.activity import CreditView
from engage.messages.why import TitleOf, no_title, why_text


class WhyText(Struct, frozen=True):
    """Why, in one or two sentences in the language of `Accept-Language`, with local dates."""

    text: Annotated[str, Meta(examples=["You tapped on 21 November 2026. Day 7 in a row earns 2 points."])]


class EarnedCredit(Struct, frozen=True, kw_only=True):
    """A credit that was just granted, in points or in status, which counts for levels only. With a `boost` it
    is beside another one of its rule; a `campaign` pays it for a while. Without a due time it waits for the
    shop's confirmation, and lapses without it. `GET /v1/me/credits/{id}` has the whole decision.
    """

    id: UUID
    rule: str
    points: int
    unit: Unit
    campaign: str | None
    boost: str | None
    state: str
    due_at: datetime | None
    lapses_at: datetime | None
    why: WhyText


def earned(credits: Iterable[CreditView], language: str, title_of: TitleOf = no_title) -> list[EarnedCredit]:
    """Write credits with their reasons in a language."""
    return [
        EarnedCredit(
            id=credit.id,
            rule=credit.rule,
            points=credit.points,
            unit=credit.unit,
            campaign=credit.campaign,
            boost=credit.boost,
            state=credit.state,
            due_at=credit.due_at,
            lapses_at=credit.lapses_at,
            why=WhyText(why_text(credit.why, language, title_of)),
        )
        for credit in credits
    ]
