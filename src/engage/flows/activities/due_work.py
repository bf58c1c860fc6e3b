"""The due work of activities: credits whose confirmation has not come."""

from engage.flows.activities.confirmations import lapse_due
from engage.ledger.confirmations import next_lapse
from engage.runtime.due_work import DueWork

DUE_WORK = (DueWork(name="lapse", next_at=next_lapse, do=lapse_due),)
