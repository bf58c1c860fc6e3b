"""The due work of games: seeds that are committed beforehand, and runs that are revealed at their end."""

from engage.flows.games.certificates import reveal_due
from engage.flows.games.runs import commit_games
from engage.runtime.due_work import DueWork
from engage.store.games.runs import next_end, next_never

DUE_WORK = (
    DueWork(name="commit_games", next_at=next_never, do=commit_games),
    DueWork(name="reveal_games", next_at=next_end, do=reveal_due),
)
