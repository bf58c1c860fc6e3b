"""The due work of draws: freezing their lists, drawing their winners, paying the prizes."""

from engage.flows.draws.drawing import draw_due, freeze_due
from engage.flows.draws.prizes import pay_due
from engage.runtime.due_work import DueWork
from engage.store.draws.drawing import next_asking, next_closing, next_prize

DUE_WORK = (
    DueWork(name="freeze_draws", next_at=next_closing, do=freeze_due),
    DueWork(name="draw_winners", next_at=next_asking, do=draw_due),
    DueWork(name="pay_draw_prizes", next_at=next_prize, do=pay_due),
)
