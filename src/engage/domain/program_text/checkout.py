"""The worth of points, and paying orders with them."""

from engage.domain.checkout.definition import Checkout
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description
from engage.domain.program_text.wording import duration, money, order_scope


def describe(program: Program) -> Description:
    sentences = []
    worth = program.worth
    if worth is not None:
        are = "point is" if worth.points == 1 else "points are"
        sentences.append(f"{worth.points:,} {are} worth {money(worth.minor, program)}.")
    if program.checkout is not None:
        sentences.append(_checkout(program.checkout))
    return Description(sentences)


def _checkout(checkout: Checkout) -> str:
    most = "all of an order" if checkout.max_percent == 100 else f"up to {checkout.max_percent} % of an order"
    words = [
        f"Points pay {most}, shipping {'too' if checkout.shipping else 'not counted'}",
        f"from a balance of {checkout.min_balance:,} on",
        *order_scope(checkout.orders),
        f"held for {duration(checkout.hold_for)}",
    ]
    return "; ".join(words) + "."
