"""The due work of campaigns: returns to budgets, and alerts."""

from engage.flows.campaigns.budgets import fold_returns, publish_alerts
from engage.runtime.due_work import DueWork
from engage.store.campaigns.budgets import next_alert, next_return

DUE_WORK = (
    DueWork(name="budget_returns", next_at=next_return, do=fold_returns, any_order=True),
    DueWork(name="budget_alerts", next_at=next_alert, do=publish_alerts, any_order=True),
)
