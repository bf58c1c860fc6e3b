"""One play while it is decided: its member, the run that is played, its number, and the answer."""

from datetime import date, datetime
from uuid import UUID

from msgspec import Struct

from engage.domain.games.chances import ChancesLeft, chances_left
from engage.domain.games.definition import Game, GameWindow, Prize
from engage.domain.games.windows import first_day, last_day
from engage.domain.identity import Origin
from engage.domain.protection.suspicion import Suspicion
from engage.flows.activities.activity import CreditView
from engage.flows.games.runs import CurrentRun
from engage.flows.rewards.coupons import CouponView
from engage.flows.rewards.give import Recipient
from engage.runtime.definition_cache import Versioned
from engage.runtime.idempotency import Keyed
from engage.store.games.plays import Days, PlayerKey, PlayerSoFar
from engage.store.games.runs import GameKey, LockedRun


class PlayRequest(Struct, frozen=True):
    """A member and the game that they play. `language` is that of the answer, `origin` where the request
    comes from.
    """

    program_id: str
    member_id: str
    game_id: str
    language: str
    keyed: "Keyed[GamePlayed] | None" = None
    origin: Origin | None = None


class WonPrize(Struct, frozen=True):
    """A prize, with its title in the member's language."""

    id: str
    title: str


class GamePlayed(Struct, frozen=True):
    """A play. `number` and `player` find it in the certificate, and `receipt` proves that it stands there
    unchanged. A prize is a credit of points, or a coupon.
    """

    play_id: UUID
    number: int
    player: str
    receipt: str
    prize: WonPrize | None
    credits: list[CreditView]
    coupon: CouponView | None
    chances_left: int
    resets_at: datetime | None


class Player(Struct, frozen=True):
    """A valid request: its member with what applies to them, and the definition that is in force. What it
    wins is held where the play is suspicious.
    """

    recipient: Recipient
    version: Versioned[Game]
    request: PlayRequest
    suspicion: Suspicion | None = None

    @property
    def game_key(self) -> GameKey:
        return self.recipient.member.program_id, self.version.id

    @property
    def zone(self) -> str:
        return self.recipient.market.zone


class Try(Struct, frozen=True):
    """A play that is wanted, on the member's local day, in a run that is open."""

    player: Player
    current: CurrentRun
    day: date

    @property
    def key(self) -> PlayerKey:
        return *self.player.recipient.member.key, *self.current.run.key[1:]

    @property
    def windows(self) -> tuple[Days, Days]:
        return windows_of(self.current.game, self.day)

    def left(self, so_far: PlayerSoFar, now: datetime) -> ChancesLeft:
        return left_of(self.current.game, so_far, now, self.player.zone)


class Numbered(Struct, frozen=True):
    """A play with its number, the prize that the number draws, and the chances after it. `won_before` are the
    member's wins in the window.
    """

    attempt: Try
    locked: LockedRun
    number: int
    prize: Prize | None
    player: str
    won_before: int
    left: ChancesLeft


def windows_of(game: Game, day: date) -> tuple[Days, Days]:
    """Return the days of the windows of chances and of wins that contain a day."""
    chances = game.chances.window
    wins: GameWindow = "ever" if game.wins_per_member is None else game.wins_per_member.window
    return (first_day(chances, day), last_day(chances, day)), (first_day(wins, day), last_day(wins, day))


def left_of(game: Game, so_far: PlayerSoFar, now: datetime, zone: str) -> ChancesLeft:
    return chances_left(game.chances, played=so_far.played, last_play=so_far.last_play, at=now, zone=zone)
