"""Each kind of limit, slot, award and due time brings everything that decisions ask of it."""

from typing import Any, get_args

import pytest

from engage.domain.earning.awards import Award
from engage.domain.earning.awards.kind import AwardKind
from engage.domain.earning.due import Due, DueKind
from engage.domain.earning.limits import Limit, Slot
from engage.domain.earning.limits.kind import LimitKind, SlotKind


def overrides(kind: type[Any], base: type[Any], name: str) -> bool:
    return getattr(kind, name) is not getattr(base, name)


@pytest.mark.parametrize("kind", get_args(Limit))
def test_a_limit_has_its_slot(kind: type[LimitKind]) -> None:
    assert overrides(kind, LimitKind, "slot")


@pytest.mark.parametrize("kind", get_args(Slot))
@pytest.mark.parametrize("name", ["source_key", "refusal", "inputs", "paid"])
def test_a_slot_has_its_key_its_refusal_and_its_trace(kind: type[SlotKind], name: str) -> None:
    assert overrides(kind, SlotKind, name)


@pytest.mark.parametrize("kind", get_args(Award))
def test_an_award_pays_for_what_it_is_for(kind: type[AwardKind]) -> None:
    assert overrides(kind, AwardKind, "for_slot") == kind.for_activities
    assert overrides(kind, AwardKind, "for_order") == kind.for_orders
    assert kind.for_orders or kind.for_activities


@pytest.mark.parametrize("kind", get_args(Due))
def test_a_due_time_has_its_instant(kind: type[DueKind]) -> None:
    assert overrides(kind, DueKind, "due_at")
