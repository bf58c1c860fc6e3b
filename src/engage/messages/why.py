"""Why a credit was granted, in one or two sentences: what the member did and when, and what it earns.

Made of the decision as it is kept with the credit, so any language can have it at any time.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from engage.domain.campaigns.index import CampaignIndex
from engage.domain.document.texts import text_in
from engage.domain.earning.credit import Why
from engage.domain.earning.trace import REVIEW, TraceCode, TraceStep, step
from engage.messages.catalogue import known, translate
from engage.messages.traces import trace_line, trace_sentence

# A decision as it was made, or as it is stored: what is stored may lack an activity, and is older.
Decision = Why | Mapping[str, Any]

# Sentences kept in memory: most taps of a day have the same few.
CACHED: Final = 4_096

# Decisions whose texts are kept: the activities of a batch share theirs.
DECISIONS_CACHED: Final = 256

# An activity without a text of its own is named by its day alone.
ANY_ACTIVITY: Final = "why.activity"


# Of a campaign and a version: its title for the reader, None where it is not known.
TitleOf = Callable[[str, int], str | None]


def no_title(campaign: str, version: int) -> str | None:
    return None


def titles_in(language: str, campaigns: CampaignIndex) -> TitleOf:
    """The titles of campaigns for a reader of a language, as far as this process knows them."""

    def title_of(campaign_id: str, version: int) -> str | None:
        found = campaigns.find(campaign_id, version)
        return None if found is None else text_in(found.campaign.title, language)

    return title_of


class Occasion(Struct, frozen=True):
    """An activity: its kind, its day in the member's zone, and an order's id and currency."""

    activity: str
    day: date
    order_id: str | None
    currency: str | None


def why_text(why: Decision, language: str, title_of: TitleOf = no_title) -> str:
    """Write why a credit was granted."""
    shared = _shared.text(why, language) if isinstance(why, Why) else None
    return _write(why, language, title_of) if shared is None else shared


class _SharedTexts:
    """The texts of the newest decisions, by decision and language. The decisions are kept as well, so that an
    id names one as long as it is here.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[int, str], tuple[Why, str | None]] = {}

    def text(self, why: Why, language: str) -> str | None:
        """The text; None where it has a title, which may be known later."""
        key = id(why), language
        found = self._texts.get(key)
        if found is None:
            if len(self._texts) >= DECISIONS_CACHED:
                self._texts.clear()
            line = _parts(why).decisive
            text = None if line is not None and _has_title(line) else _write(why, language, no_title)
            found = self._texts[key] = why, text
        return found[1]


_shared: Final = _SharedTexts()


def _write(why: Decision, language: str, title_of: TitleOf) -> str:
    parts = _parts(why)
    line = None if parts.decisive is None else with_title(parts.decisive, title_of)
    facts = tuple((name, _hashable(value)) for name, value in line.facts.items()) if line else ()
    granted = _text(parts.occasion, line.code if line else "", facts, language)
    return granted if parts.review is None else f"{granted} {trace_sentence(parts.review, language)}"


def with_title(line: TraceStep, title_of: TitleOf) -> TraceStep:
    """A step in which the title of its campaign stands in place of the id."""
    title = title_of(line.facts["campaign"], line.facts["version"]) if _has_title(line) else None
    return line if title is None else TraceStep(line.code, line.facts | {"campaign": title})


def _has_title(line: TraceStep) -> bool:
    return "campaign" in line.facts and "version" in line.facts


def trace_of(why: Mapping[str, Any]) -> list[TraceStep]:
    """The steps of a stored decision. A process of an earlier release may write sentences after the
    migration.
    """
    lines = msgspec.convert(why["trace"], list[TraceStep | str])
    return [step(TraceCode.TEXT, text=line) if isinstance(line, str) else line for line in lines]


def trace_texts(
    why: Mapping[str, Any], language: str, title_of: TitleOf = no_title
) -> list[tuple[TraceStep, str]]:
    """The steps of a stored decision, each with its sentence."""
    currency = why.get("activity", {}).get("currency")  # Only orders have one.
    return [(line, trace_line(with_title(line, title_of), language, currency)) for line in trace_of(why)]


class _Parts(Struct, frozen=True):
    """`occasion` is what the member did, None where nothing was done or is known any more. `decisive` is the
    step of the trace that says most. `review` is the newest step of a review.
    """

    occasion: Occasion | None
    decisive: TraceStep | None
    review: TraceStep | None


def _parts(why: Decision) -> _Parts:
    if isinstance(why, Why):
        activity = why.activity
        order_id, currency = getattr(activity, "order_id", None), getattr(activity, "currency", None)
        day = _local_day(why.at, why.zone)
        occasion = Occasion(str(activity.__struct_config__.tag), day, order_id, currency)
        return _Parts(occasion, _decisive(why.trace, why.rule), _review(why.trace))
    trace, done = trace_of(why), why.get("activity")
    decisive, review = _decisive(trace, str(why.get("rule", ""))), _review(trace)
    if not done:
        return _Parts(None, decisive, review)
    day = _local_day(datetime.fromisoformat(why["at"]), why["zone"])
    occasion = Occasion(done["activity"], day, done.get("order_id"), done.get("currency"))
    return _Parts(occasion, decisive, review)


def _local_day(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def _decisive(steps: list[TraceStep], rule: str) -> TraceStep | None:
    """The step that says most: one about all of the credit, such as that it lapsed, or what its rule pays."""
    steps = [line for line in steps if line.code not in REVIEW]
    whole = [line for line in steps if "rule" not in line.facts]
    own = [line for line in steps if line.facts.get("rule") == rule]
    paying = [line for line in own if "points" in line.facts]
    return next((found[-1] for found in (whole, paying, own, steps) if found), None)


def _review(steps: list[TraceStep]) -> TraceStep | None:
    return next((line for line in reversed(steps) if line.code in REVIEW), None)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(CACHED)
def _text(occasion: Occasion | None, code: str, facts: tuple[tuple[str, Any], ...], language: str) -> str:
    sentences = []
    if occasion is not None:
        own = f"why.{occasion.activity}"
        shown = {"day": occasion.day, "order_id": occasion.order_id or ""}
        sentences.append(translate(own if known(own) else ANY_ACTIVITY, language, shown))
    if code:
        currency = None if occasion is None else occasion.currency
        sentences.append(trace_sentence(TraceStep(code, dict(facts)), language, currency))
    return " ".join(sentences)
