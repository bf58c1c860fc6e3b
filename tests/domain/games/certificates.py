"""Games and certificates of made-up plays, for tests."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from engage.domain.games.certificate import (
    ALGORITHM,
    Terms,
    certify,
    commitment,
    play_of,
    receipt,
)
from engage.domain.games.chances import most_plays
from engage.domain.games.definition import Game
from engage.domain.games.outcome import Tally, decide, draw
from engage.domain.games.windows import first_day

SEED = bytes(range(32))
FIRST_DAY = date(2026, 11, 20)


def game(**changes: Any) -> Game:
    """A game of ten days with two prizes, of which one is scarce."""
    document = {
        "id": "wheel",
        "title": {"en": "Wheel"},
        "from": "2026-11-20T00:00:00",
        "until": "2026-11-30T00:00:00",
        "chances": {"count": 3, "window": "day"},
        "prizes": [
            {"id": "ten", "title": {"en": "Ten points"}, "odds": "1/3", "stock": 12, "points": 10},
            {
                "id": "big",
                "title": {"en": "A hundred"},
                "odds": "1/4",
                "stock": 3,
                "per_day": 1,
                "points": 100,
            },
        ],
        "wins_per_member": {"count": 1, "window": "day"},
    }
    return msgspec.convert(document | changes, Game)


def names(count: int) -> list[str]:
    return [f"{n:032x}" for n in range(1, count + 1)]


class Run:
    """A run of a game, played in memory as the server plays it."""

    def __init__(self, of: Game, zones: tuple[str, ...] = ("Africa/Ouagadougou",)) -> None:
        self.game = of
        terms = Terms(program="market", run=1, version="1", zones=list(zones), game=of)
        self.terms = msgspec.to_builtins(terms)
        self.commitment = self.head = commitment(SEED, self.terms)
        self.tally = Tally.empty()
        self.played: Counter[tuple[str, date]] = Counter()
        self.plays: list[dict[str, Any]] = []
        self.mergers: list[dict[str, Any]] = []
        self.into: dict[str, str] = {}

    def play(self, player: str, day: int) -> bool:
        """Play if the player has a chance on the day; False if not."""
        on, who = FIRST_DAY + timedelta(days=day), self.into.get(player, player)
        window = (who, first_day(self.game.chances.window, on))
        if self.played[window] >= most_plays(self.game.chances):
            return False
        self.played[window] += 1
        number = len(self.plays) + 1
        outcome = decide(self.game, self.tally, draw(self.game, SEED, number), player=who, day=on)
        play = msgspec.to_builtins(play_of(number, on, player, outcome))
        self.head = receipt(self.head, play)
        self.plays.append(play)
        return True

    def merge(self, player: str, into: str) -> None:
        self.mergers.append({"player": player, "into": into, "after": len(self.plays)})
        self.into[player] = into
        for counts in (self.played, self.tally.wins):
            for name, window in [key for key in counts if key[0] == player]:
                counts[into, window] += counts.pop((name, window))

    def certificate(self) -> dict[str, Any]:
        return certify(
            {
                "algorithm": ALGORITHM,
                "game_id": self.game.id,
                "commitment": self.commitment,
                "committed_at": datetime(2026, 11, 19, tzinfo=UTC).isoformat(),
                "seed": SEED.hex(),
                "terms": self.terms,
                "plays": self.plays,
                "mergers": self.mergers,
                "head": self.head,
            }
        )
