"""The due work of checkouts: holds that time out."""

from engage.flows.checkout.close_holds import release_overdue
from engage.ledger.holds import next_hold_end
from engage.runtime.due_work import DueWork

DUE_WORK = (DueWork(name="holds", next_at=next_hold_end, do=release_overdue),)
