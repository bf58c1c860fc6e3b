"""The certificate of a game that has ended, and its verification: everything is recomputed from it alone.

Each play of the list has a receipt: the digest of the receipt before it and of the play. The first one
follows from the commitment. A player got the receipt with the answer to the play, so the list cannot be
changed afterwards without contradicting players.
"""

from collections import Counter, deque
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from engage.domain.calendar import local_date
from engage.domain.definitions.definition import DefinitionId
from engage.domain.document import iso_codes
from engage.domain.document.fields import ProgramId
from engage.domain.fairness.canonical import digest
from engage.domain.feature.section import Context
from engage.domain.games.chances import most_plays
from engage.domain.games.definition import Game
from engage.domain.games.outcome import Cut, Outcome, Tally, decide, draw
from engage.domain.games.validation import problems
from engage.domain.games.windows import first_day

ALGORITHM: Final = "engage-game-1"
SEED_BYTES: Final = 32

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
Player = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}(?!\n)$")]
Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The terms that are committed with the seed: the game as it was defined, and which of its runs it is."""

    program: ProgramId
    run: Annotated[int, Meta(ge=1)]
    version: str
    zones: Annotated[list[str], Meta(min_length=1, max_length=300)]
    game: Game


class Play(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A play of the list. `day` is the player's local day. `player` is a random name, the same in all plays
    of one account. `prize` was won; `drawn` is what the number drew, which `cut` kept from being won.
    """

    number: Number
    day: date
    player: Player
    drawn: DefinitionId | None
    prize: DefinitionId | None
    cut: Cut | None


class Merger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two accounts of one player became one `after` that play: wins of `player` count for `into` then."""

    player: Player
    into: Player
    after: Annotated[int, Meta(ge=0, le=1_000_000_000)]


class GameCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`head` is the receipt of the last play; `digest` is that of all other fields."""

    algorithm: str
    game_id: DefinitionId
    commitment: Digest
    committed_at: str
    seed: Digest
    terms: Terms
    plays: list[Play]
    mergers: list[Merger]
    head: Digest
    digest: Digest


def commitment(seed: bytes, terms: Any) -> str:
    """Return the digest that is published before the window. `terms` are as they stand in the certificate."""
    return digest({"algorithm": ALGORITHM, "seed": seed.hex(), "terms": terms})


def receipt(before: str, play: Any) -> str:
    """Return the receipt of a play after that of the play before it, or after the commitment."""
    return digest([before, play])


def play_of(number: int, day: date, player: str, outcome: Outcome) -> Play:
    return Play(
        number=number, day=day, player=player, drawn=outcome.drawn, prize=outcome.prize, cut=outcome.cut
    )


def certify(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the certificate of these fields, which are all but its digest."""
    return fields | {"digest": digest(fields)}


def verify(found: Any) -> list[str]:
    """Return what is wrong with a certificate, decoded from JSON: nothing if it is right."""
    try:
        certificate = msgspec.convert(found, GameCertificate)
    except msgspec.ValidationError as mismatch:
        return [f"not a certificate of a game: {mismatch}"]
    if certificate.algorithm != ALGORITHM:
        return [f"the algorithm is {certificate.algorithm}, and this program knows {ALGORITHM}"]
    wrong = [*_digests(found, certificate), *_terms(certificate.terms)]
    return wrong or [*_outcomes(certificate)]


def _digests(found: dict[str, Any], certificate: GameCertificate) -> Iterator[str]:
    if digest({name: value for name, value in found.items() if name != "digest"}) != certificate.digest:
        yield "the digest is not that of the certificate"
    if commitment(bytes.fromhex(certificate.seed), found["terms"]) != certificate.commitment:
        yield "the commitment is not that of the seed and the terms"
    if certificate.game_id != certificate.terms.game.id:
        yield f"the terms are those of the game {certificate.terms.game.id}"
    head = certificate.commitment
    for play in found["plays"]:
        head = receipt(head, play)
    if head != certificate.head:
        yield "the receipts of the plays do not lead to the head"


def _terms(terms: Terms) -> Iterator[str]:
    """Problems that keep outcomes from being recomputed: such terms cannot be published."""
    for zone in terms.zones:
        if zone not in iso_codes.zones():
            yield f"the time zone {zone} is unknown"
    rewards = [prize.reward for prize in terms.game.prizes if prize.reward is not None]
    for problem in problems(terms.game, "terms.game", Context(None, {"rewards": rewards})):
        yield str(problem)


def _outcomes(certificate: GameCertificate) -> Iterator[str]:
    game, seed = certificate.terms.game, bytes.fromhex(certificate.seed)
    players, tally = _Players(), Tally.empty()
    mergers = deque(sorted(certificate.mergers, key=lambda merger: merger.after))
    for number, play in enumerate(certificate.plays, start=1):
        if play.number != number:
            yield f"play {number} is missing: play {play.number} stands in its place"
            return
        while mergers and mergers[0].after < number:
            players.merge(mergers.popleft(), tally)
        if not any(_is_open_on(game, play.day, zone) for zone in certificate.terms.zones):
            yield f"play {number}: the game is not open on {play.day}"
        player = players.current(play.player)
        if not players.takes_chance(game, player, play.day):
            yield f"play {number}: its player has no chance left"
        prize = draw(game, seed, number)
        sold_out = play.cut == "reward_sold_out" and prize is not None and prize.reward is not None
        expected = decide(game, tally, prize, player=player, day=play.day, sold_out=sold_out)
        if expected != Outcome(play.drawn, play.prize, play.cut):
            found = Outcome(play.drawn, play.prize, play.cut)
            yield f"play {number}: expected {_in_words(expected)}, got {_in_words(found)}"


class _Players:
    """The players of a list: which names are of one player, and the chances that each has used."""

    def __init__(self) -> None:
        self._into: dict[str, str] = {}
        self._played: Counter[tuple[str, date]] = Counter()

    def current(self, player: str) -> str:
        while player in self._into:
            player = self._into[player]
        return player

    def takes_chance(self, game: Game, player: str, day: date) -> bool:
        window = (player, first_day(game.chances.window, day))
        self._played[window] += 1
        return self._played[window] <= most_plays(game.chances)

    def merge(self, merger: Merger, tally: Tally) -> None:
        """Count what one has played and won for the other."""
        player, into = self.current(merger.player), self.current(merger.into)
        if player == into:
            return
        self._into[player] = into
        for counts in (self._played, tally.wins):
            for name, window in [key for key in counts if key[0] == player]:
                counts[into, window] += counts.pop((name, window))


def _is_open_on(game: Game, day: date, zone: str) -> bool:
    last = game.until_in(zone) - timedelta(microseconds=1)
    return local_date(game.begins_at(zone), zone) <= day <= local_date(last, zone)


def _in_words(outcome: Outcome) -> str:
    if outcome.prize is not None:
        return f"the prize {outcome.prize}"
    return "no prize" if outcome.drawn is None else f"{outcome.drawn} drawn and cut by {outcome.cut}"


def summary(found: Any) -> list[str]:
    """Return what a right certificate proves, line by line."""
    certificate = msgspec.convert(found, GameCertificate)
    won = Counter(play.prize for play in certificate.plays if play.prize is not None)
    prizes = ", ".join(f"{prize} {count}" for prize, count in sorted(won.items()))
    lines = [
        f"game {certificate.game_id} of {certificate.terms.program}, run {certificate.terms.run}: "
        f"{len(certificate.plays)} plays, {won.total()} prizes" + (f" ({prizes})" if prizes else ""),
        f"commitment {certificate.commitment}, published at {certificate.committed_at}",
    ]
    sold_out = sum(play.cut == "reward_sold_out" for play in certificate.plays)
    if sold_out:
        lines.append(
            f"{sold_out} prizes were not won because the catalogue had no more of their reward: "
            "this alone is said by the certificate, not computed"
        )
    return [*lines, "every outcome follows from the seed"]
