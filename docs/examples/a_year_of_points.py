"""A year in a sandbox: the example of docs/finance.md.

    engage up --data example
    python docs/examples/a_year_of_points.py example

Members of an older system come with their balances, buy, send some of it back, take coupons, and let points
end. It takes a minute or two; the sandbox's clock is a year and a half ahead then.
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PROGRAM = "eu-mi-points"
COUNTRIES = ("ES", "ES", "ES", "FR", "IT", "DE", "GB", "GB")
MEMBERS = 600
SHOPPERS = 200
MONTHS = 18

dice = random.Random(2026)  # noqa: S311  # The same year each time.
numbers = count(1)


class Sandbox:
    def __init__(self, url: str) -> None:
        self._url = url
        known = self.call("GET", "/v1/sandbox")
        self.now = datetime.fromisoformat(known["now"])
        self._shop = known["shop_key"]

    def call(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        request = Request(f"{self._url}{path}", method=method)  # noqa: S310
        if token:
            request.add_header("authorization", f"Bearer {token}")
        data = None if body is None else json.dumps(body).encode()
        with urlopen(request, data, timeout=120) as answer:  # noqa: S310
            return json.load(answer)

    def join(self, member_id: str, country: str) -> str:
        """The member's token."""
        body = {"program": PROGRAM, "country": country, "member_id": member_id}
        token: str = self.call("POST", "/v1/sandbox/members", body)["token"]
        return token

    def tell(self, kind: str, member_id: str, **facts: object) -> None:
        event = {
            "id": f"event-{next(numbers)}",
            "type": kind,
            "time": self.now.isoformat(),
            "program": PROGRAM,
            "member_id": member_id,
            "data": facts,
        }
        refused = self.call("POST", "/v1/shop/events", event, self._shop)["refused"]
        assert not refused, refused

    def advance(self, days: int) -> None:
        moved = self.call("POST", "/v1/sandbox/clock", {"advance": f"P{days}D"})
        self.now = datetime.fromisoformat(moved["now"])


def main(folder: Path) -> None:
    sandbox = Sandbox("http://127.0.0.1:8080")
    countries = {f"card-{n:03d}": dice.choice(COUNTRIES) for n in range(MEMBERS)}
    tokens = {member: sandbox.join(member, countries[member]) for member in list(countries)[:SHOPPERS]}
    file = folder.parent / "old-cards.csv"
    file.write_text("".join(opening_rows(countries, sandbox.now.date())))
    subprocess.run(["engage", "import", file, "--program", PROGRAM, "--data", folder], check=True)  # noqa: S603, S607
    for month in range(MONTHS):
        shop_for_a_month(sandbox, countries, tokens)
        print(f"month {month + 1} of {MONTHS}: it is {sandbox.now:%Y-%m-%d}")  # noqa: T201


def opening_rows(countries: dict[str, str], today: date) -> Iterator[str]:
    """Points of the older system, which end at some time in the next two years."""
    yield "member_id,country,points,expires_at\n"
    for member, country in countries.items():
        ends = today + timedelta(days=dice.randint(20, 720))
        yield f"{member},{country},{dice.randint(2, 40) * 50},{ends}\n"


def shop_for_a_month(sandbox: Sandbox, countries: dict[str, str], tokens: dict[str, str]) -> None:
    orders = []
    for member in dice.sample(list(countries), 90):
        order = f"order-{next(numbers)}"
        orders.append((member, order))
        line = {"line_id": "1", "product_id": "phone", "paid": dice.randint(20, 900) * 100}
        sandbox.tell(
            "order.paid",
            member,
            order_id=order,
            channel="app",
            payment={"method": "card"},
            lines=[line],
            shipping=0,
            currency="GBP" if countries[member] == "GB" else "EUR",
        )
    sandbox.advance(3)
    for member, order in orders:
        sandbox.tell("order.delivered", member, order_id=order)
    sandbox.advance(12)
    for member, order in dice.sample(orders, 9):
        sandbox.tell("order.returned", member, order_id=order, return_id=f"return-{order}")
    for member in dice.sample(list(tokens), 40):
        redeem(sandbox, tokens[member])
    sandbox.advance(15)


def redeem(sandbox: Sandbox, token: str) -> None:
    """The dearest coupon that the member can pay."""
    for reward in ("coupon_20", "coupon_10", "coupon_5"):
        try:
            sandbox.call("POST", "/v1/redemptions", {"reward_id": reward}, token)
            return
        except HTTPError as refused:
            if json.load(refused)["code"] != "insufficient_points":
                raise


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
