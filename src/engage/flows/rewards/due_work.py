"""The due work of rewards: coupons that expire, and turns of members who wait."""

from engage.flows.rewards.coupons import expire_coupons
from engage.flows.rewards.waiting import serve_waiting
from engage.runtime.due_work import DueWork
from engage.store.rewards.coupons import next_coupon_end
from engage.store.rewards.waiting import next_turn_end

DUE_WORK = (
    DueWork(name="coupons", next_at=next_coupon_end, do=expire_coupons, any_order=True),
    DueWork(name="waiting", next_at=next_turn_end, do=serve_waiting),
)
