"""The due work of rewards: coupons that expire."""

from engage.flows.rewards.coupons import expire_coupons
from engage.runtime.due_work import DueWork
from engage.store.rewards.coupons import next_coupon_end

DUE_WORK = (DueWork(name="coupons", next_at=next_coupon_end, do=expire_coupons, any_order=True),)
