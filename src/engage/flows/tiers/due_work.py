"""The due work of tiers: status that becomes active, and levels that end."""

from engage.flows.tiers.react import activate_status, end_levels
from engage.ledger.status import next_activation
from engage.runtime.due_work import DueWork
from engage.store.tiers.levels import next_end

DUE_WORK = (
    DueWork(name="activate_status", next_at=next_activation, do=activate_status, any_order=True),
    DueWork(name="end_levels", next_at=next_end, do=end_levels, any_order=True),
)
