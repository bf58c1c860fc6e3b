"""The due work of activities: credits whose confirmation has not come, and birthdays."""

from engage.flows.activities.birthdays import record_birthdays
from engage.flows.activities.confirmations import lapse_due
from engage.ledger.confirmations import next_lapse
from engage.runtime.due_work import DueWork
from engage.store.members.birthdays import next_birthday

DUE_WORK = (
    DueWork(name="lapse", next_at=next_lapse, do=lapse_due),
    DueWork(name="birthdays", next_at=next_birthday, do=record_birthdays),
)
