"""Earning rules of a document: what a rule is about, how often it pays, how much, and when it is due."""

from msgspec import field

from engage.domain.document.fields import DocumentStruct, RuleId, Title
from engage.domain.document.order_scope import OrderScope
from engage.domain.document.texts import FALLBACK, Translations, text_in
from engage.domain.earning.awards import Award
from engage.domain.earning.due import USUAL, Due
from engage.domain.earning.limits import FurtherLimit, Limit
from engage.domain.earning.on import On
from engage.domain.earning.unit import POINTS, Unit


class Rule(DocumentStruct, frozen=True):
    """`unit` is what the award pays: points, or status, which is never spent and counts for tiers only."""

    id: RuleId
    title: Title
    on: On
    limit: Limit
    award: Award
    due: Due = USUAL
    titles: Translations = field(default_factory=dict)  # The title in further languages.
    unit: Unit = POINTS
    # Further limits, all of which must have a slot too.
    also: list[FurtherLimit] = field(default_factory=list)
    # For rules about orders: which of them.
    orders: OrderScope = OrderScope()

    @property
    def texts(self) -> dict[str, str]:
        """The title by locale."""
        return {FALLBACK: self.title} | self.titles

    def title_in(self, language: str) -> str:
        return text_in(self.texts, language)
