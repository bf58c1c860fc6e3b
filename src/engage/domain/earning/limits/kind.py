"""The shape of a limit: each brings its struct, its slot and its validation."""

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from engage.domain.activity import AnyActivity
from engage.domain.calendar import WindowKind
from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak
from engage.domain.earning.trace import TraceStep
from engage.domain.refusals import Refusal

if TYPE_CHECKING:
    from engage.domain.earning.limits.per_window import WindowSlot


class _FurtherSlots(Struct, frozen=True, kw_only=True):
    """`further`: slots of the rule's further limits, which the credit takes too or is refused."""

    further: "tuple[WindowSlot, ...]" = ()


class SlotKind(_FurtherSlots, frozen=True):
    """A credit that a limit allows. `number` is the grant's (`engage.domain.earning.slots.Grant`)."""

    rule_id: str

    def source_key(self, number: int) -> str:
        """The key that the ledger holds once for a member."""
        raise NotImplementedError

    def refusal(self, version: str) -> Refusal:
        """The refusal where the slot is taken. It says when the caller can try again."""
        raise NotImplementedError

    def inputs(self, number: int) -> dict[str, Any]:
        """The facts of the grant that a credit keeps. Streaks are restored from them."""
        raise NotImplementedError

    def paid(self, rule_id: str, number: int, points: int) -> TraceStep:
        """The step of a rule that pays `points` for this slot."""
        raise NotImplementedError


class UsedSlots(Struct, frozen=True):
    """A member's used slots: source keys of those that there are once, numbers by (rule, kind of window) of
    the windows that are open, streaks by rule, and how many orders were paid by rules for the first ones.
    """

    keys: Set[str] = frozenset()
    numbers: Mapping[tuple[str, WindowKind], Sequence[int]] = {}
    streaks: Mapping[str, Streak] = {}
    orders: Mapping[str, int] = {}


class LimitState(Struct, frozen=True):
    """The rest of a limit for a member. `remaining` is None where no number limits the rule. `refusal` is
    that of an activity now, None where it would earn. `resets_at` is None where nothing changes by itself.
    """

    remaining: int | None = None
    resets_at: datetime | None = None
    refusal: Refusal | None = None


class LimitedRule(Protocol):
    """The fields of a rule that a limit's validation reads."""

    @property
    def on(self) -> On: ...

    @property
    def limit(self) -> "LimitKind": ...


class LimitKind(DocumentStruct, frozen=True):
    """Base of the limits."""

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> SlotKind | None:
        """The slot for an activity at `at`; None where the rule takes none of its own.

        `zone` is the member's. `streak` is the streak in the ledger, for rules that count days.
        """
        raise NotImplementedError

    def once_key(self, rule_id: str, on: On) -> str | None:
        """The source key of the rule's only slot, where it has one for all activities that it is about."""
        return None

    def state(
        self, rule_id: str, on: On, used: UsedSlots, at: datetime, zone: str, version: str
    ) -> LimitState:
        """The rest at `at`. `zone` is the member's."""
        return LimitState()

    def problems(self, on: On, path: str, others: Mapping[str, LimitedRule]) -> Iterator[Problem]:
        """Validate the limit of a rule about `on`. `path` is the rule's; `others` are by id."""
        return iter(())

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)
