"""Decide which drawn prizes are won, pay them, and write the plays."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct, field

from engage.domain.document.texts import text_in
from engage.domain.games.certificate import play_of, receipt
from engage.domain.games.outcome import Tally, decide
from engage.domain.games.payment import prize_credit
from engage.domain.games.windows import first_day
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import view_of
from engage.flows.games.player import GamePlayed, Numbered, WonPrize
from engage.flows.rewards.coupons import view
from engage.flows.rewards.give import GiftStock, lock_gift_stock, make_gift, write_gifts
from engage.ledger.accept import CreditToAccept
from engage.runtime.batch import decide_each, not_refused
from engage.runtime.campaign_cache import CampaignCache
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting
from engage.runtime.services import Services
from engage.runtime.velocity import hold_back
from engage.store.games.plays import NewPlay, PrizeDay, read_prizes, write_plays
from engage.store.games.runs import RunKey
from engage.store.rewards.coupons import Coupon


class _Prizes(Struct):
    """The prizes won so far in each run, the stock of rewards, and all that the batch writes."""

    now: datetime
    tallies: dict[RunKey, Tally]
    stock: GiftStock
    campaigns: CampaignCache
    heads: dict[RunKey, tuple[int, str]] = field(default_factory=dict)
    won: Counter[PrizeDay] = field(default_factory=Counter)
    plays: list[NewPlay] = field(default_factory=list)
    credits: list[CreditToAccept] = field(default_factory=list)
    gifts: list[Coupon] = field(default_factory=list)


async def decide_prizes(
    services: Services, posting: Posting, numbered: Sequence[Numbered | Refusal], *, now: datetime
) -> list[GamePlayed | Refusal]:
    """Decide plays in the order of their numbers, and write them with what they win. The runs and the
    balances of the members are locked, and the largest prizes are taken from budgets.
    """
    plays = not_refused(numbered)
    prizes = await _open(services, posting, plays, now=now)
    answers = decide_each(numbered, lambda play: _decide(prizes, play))
    if prizes.plays:
        await write_plays(posting.conn, prizes.plays, prizes.heads, prizes.won)
    await write_gifts(posting.conn, prizes.stock, prizes.gifts)
    if prizes.credits:
        ids = frozenset(row.id for row in prizes.credits)
        accepted = await posting.accept(prizes.credits, now=now, reserved=ids)
        assert accepted.issuperset(ids), "a play has a number of its own"
    return answers


async def _open(services: Services, posting: Posting, plays: Sequence[Numbered], *, now: datetime) -> _Prizes:
    """Read what was won before. Plays that draw nothing need none of it."""
    drawn = [play for play in plays if play.prize is not None]
    days = [(play.locked.run.key, play.attempt.day) for play in drawn]
    won = await read_prizes(posting.conn, days) if days else {}
    tallies = {play.locked.run.key: Tally.empty() for play in plays}
    for (program_id, game_id, run, prize), found in won.items():
        tally = tallies[program_id, game_id, run]
        tally.won[prize] = found.total
        tally.won_on.update({(prize, day): count for day, count in found.on.items()})
    for play in drawn:
        limit = play.attempt.current.game.wins_per_member
        if limit is not None:
            window = (play.player, first_day(limit.window, play.attempt.day))
            tallies[play.locked.run.key].wins[window] = play.won_before
    rewards = {
        (play.attempt.player.recipient.program.id, play.prize.reward)
        for play in drawn
        if play.prize is not None and play.prize.reward is not None
    }
    stock = await lock_gift_stock(services, posting.conn, rewards)
    return _Prizes(now, tallies, stock, services.campaigns)


def _decide(prizes: _Prizes, play: Numbered) -> GamePlayed:
    recipient, game = play.attempt.player.recipient, play.attempt.current.game
    run, prize, day = play.locked.run, play.prize, play.attempt.day
    reward = None if prize is None or prize.reward is None else prizes.stock.find(recipient, prize.reward)
    sold_out = prize is not None and prize.reward is not None and reward is None
    outcome = decide(game, prizes.tallies[run.key], prize, player=play.player, day=day, sold_out=sold_out)
    credit = coupon = None
    if prize is not None and outcome.prize is not None:
        prizes.won[(*run.key, prize.id, day)] += 1
        if reward is not None:
            coupon = make_gift(prizes.stock, recipient, reward, now=prizes.now)
            prizes.gifts.append(coupon)
        else:
            decided = prize_credit(
                recipient.program.earning,
                game,
                prize,
                run=run.run,
                number=play.number,
                at=prizes.now,
                zone=recipient.market.zone,
            )
            named = prizes.campaigns.named(recipient.member.program_id, decided)
            credit = hold_back(
                recipient.program.earning,
                CreditToAccept(*recipient.member.key, new_id(), named),
                play.attempt.player.suspicion,
            )
            prizes.credits.append(credit)
    _, before = prizes.heads.get(run.key, (0, run.head))
    listed = play_of(play.number, day, play.player, outcome)
    head = receipt(before, msgspec.to_builtins(listed))
    prizes.heads[run.key] = (play.number, head)
    written = NewPlay(
        program_id=recipient.member.program_id,
        member_id=recipient.member.member_id,
        game_id=game.id,
        run=run.run,
        number=play.number,
        id=new_id(),
        at=prizes.now,
        day=day,
        player=play.player,
        drawn=outcome.drawn,
        prize=outcome.prize,
        cut=outcome.cut,
        credit_id=None if credit is None else credit.id,
        coupon_id=None if coupon is None else coupon.id,
    )
    prizes.plays.append(written)
    language = play.attempt.player.request.language
    won = (
        None if prize is None or outcome.prize is None else WonPrize(prize.id, text_in(prize.title, language))
    )
    return GamePlayed(
        play_id=written.id,
        number=play.number,
        player=play.player,
        receipt=head,
        prize=won,
        credits=[] if credit is None else [view_of(credit)],
        coupon=None if coupon is None or reward is None else view(coupon, reward.title),
        chances_left=play.left.left,
        resets_at=play.left.resets_at,
    )
