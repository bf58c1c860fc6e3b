"""The worth of points, and paying orders with them."""

from engage.domain.checkout.definition import Checkout
from engage.domain.program.program import Program
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    sentences = []
    worth = program.worth
    if worth is not None:
        money = words.money(worth.minor)
        sentences.append(words.text("checkout.worth", counted="n", n=worth.points, money=money))
    if program.checkout is not None:
        sentences.append(_checkout(program.checkout, words))
    return Description(sentences)


def _checkout(checkout: Checkout, words: Wording) -> str:
    most, shipping = checkout.max_percent, "shipping" if checkout.shipping else "no_shipping"
    parts = [
        words.text("checkout.all") if most == 100 else words.text("checkout.percent", percent=most),
        words.text(f"checkout.{shipping}"),
        words.text("checkout.min_balance", points=checkout.min_balance),
        *words.order_scope(checkout.orders),
        words.text("checkout.hold", length=words.duration(checkout.hold_for)),
    ]
    return "; ".join(parts) + "."
