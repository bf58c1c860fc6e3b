"""The due work of referrals: approval when the hold is over."""

from engage.flows.referrals.settle import settle_due_referrals
from engage.runtime.due_work import DueWork
from engage.store.referrals.referrals import next_referral

DUE_WORK = (DueWork(name="referrals", next_at=next_referral, do=settle_due_referrals),)
