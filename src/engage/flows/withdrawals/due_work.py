"""The due work of withdrawals: sending payouts and asking about them."""

from engage.flows.withdrawals.pay_out import pay_out_due
from engage.runtime.due_work import DueWork
from engage.store.withdrawals.withdrawals import next_payout

DUE_WORK = (DueWork(name="pay_out", next_at=next_payout, do=pay_out_due),)
