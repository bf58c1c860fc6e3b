"""Identifiers of the shop's that look like parts of keys: a number, a day, a month, a key of another kind."""

import pytest

from engage.domain.activity import Review, Share
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.reads.home import read_home
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from tests.support.activities import PROGRAM, act, join, link, perform, review_removed, social, tap
from tests.support.audit import assert_audit_is_clean
from tests.support.database import rows

ODD = [
    *("0", "1", "x:0", "x:1", "2026-11", "2026-11:1", "2026-11-21", "2026-11-21:1", "9999-99", "9999-99-99"),
    *("review", "review:0", "order:o-1:review", "removed:review:r-0:review", ":", "a;b", "%", "é:ü:1"),
]


async def test_any_identifier_earns_once_and_keeps_the_audit_clean(services: Services) -> None:
    await join(services)
    for n, name in enumerate(ODD):
        await perform(services, Review(product_id=name, review_id=name))
        again = await record(services, [act(services, Review(product_id=name, review_id=f"again-{n}"))])
        assert isinstance(again[0], Refusal), name
    await perform(services, tap())
    for name in ("0", "2026-11:1"):
        await perform(services, Share(kind="social", product_id=name, share_id=name))
    for n, reference in enumerate(["CASE:0", "0", "2026-11", "2026-11:1", "2026-11-21"]):
        request = AdjustmentRequest(points=1 + n, reason="a case", reference=reference)
        await adjust(services, PROGRAM, "m-1", request, operator="key-1")
    await take_events(services, [review_removed(services, f"early-{name}") for name in ODD])
    home = await read_home(services, PROGRAM, "m-1")
    assert {limit.rule: limit.remaining for limit in home.limits} == {
        "share_social": 1,
        "share_link": 2,
        "share_any": 4,
    }
    assert home.streak is not None
    assert home.streak.days == 1
    await assert_audit_is_clean(services)


async def test_an_erasure_leaves_no_identifier_however_it_looks(services: Services) -> None:
    for member_id in ("m-0", "m-1"):
        await join(services, member_id)
        for name in ODD:
            await perform(services, Review(product_id=f"{name}", review_id=name), member_id)
        for activity in (tap(), social(), link()):
            await perform(services, activity, member_id)
        request = AdjustmentRequest(points=1, reason="a case", reference=f"2026-1{member_id[-1]}")
        await adjust(services, PROGRAM, member_id, request, operator="key-1")
        await take_events(services, [review_removed(services, "2026-12", member_id)])
    await merge_members(services, PROGRAM, "m-0", into="m-1", reason="one", operator="key-1")
    await assert_audit_is_clean(services)
    await erase_member(services, PROGRAM, "m-1", operator="key-1")
    kept = await rows(
        services.db,
        "SELECT DISTINCT rule_id FROM credits WHERE source_key !~ '^[a-z_]+:[0-9a-f]{32}$' ORDER BY 1",
    )
    assert [rule for (rule,) in kept] == [
        *("first_link", "fuel", "registration", "share_any", "share_link", "share_social", "share_thanks")
    ]
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("name", ["x:0", "2026-11-21"])
async def test_the_answer_names_the_product_as_it_was_sent(services: Services, name: str) -> None:
    await join(services)
    (answer,) = await record(services, [act(services, Review(product_id=name, review_id="r"))])
    assert isinstance(answer, RecordedActivity)
    found = await rows(services.db, "SELECT source_key FROM credits WHERE rule_id = 'review'")
    assert found == [(f"review:{name}",)]
