"""Fill a fresh sandbox by HTTP, so that its pages show what those of a shop show after some weeks.

The clock goes to the next month first and ends in the middle of it: calendars are then the same on every day.
"""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
from playwright.async_api import Page

PROGRAM = "eu-mi-points"
PLACES = ("ES", "ES", "ES", "FR", "FR", "IT", "DE", "NL")
PRODUCTS = (
    ("redmi-note-14", 21999),
    ("mi-band-9", 3999),
    ("mi-robot-vacuum", 29900),
    ("buds-6", 7999),
    ("pad-7", 34900),
)
MEMBERS = 48
DAYS = 15
HOUR = 11

SPENDING = {"points": 20_000, "alerts": [50, 80, 100]}
CAMPAIGNS: tuple[dict[str, Any], ...] = (
    {
        "id": "members-week",
        "title": {"en": "Members week", "fr": "Semaine des membres", "ru": "Неделя участников"},
        "days": (9, 19),
        "boosts": [{"id": "double_purchase", "rules": ["purchase"], "multiply": 2}],
        "holdout_percent": 10,
        "budget": SPENDING,
    },
    {
        "id": "weekend-spain",
        "title": {"en": "Double weekend in Spain", "es": "Fin de semana doble"},
        "days": (5, 8),
        "audience": {"countries": ["ES"]},
        "boosts": [{"id": "double", "rules": ["purchase", "review"], "multiply": 2}],
    },
    {
        "id": "first-reviews",
        "title": {"en": "The first reviews of the season"},
        "days": (2, 24),
        "boosts": [{"id": "more_reviews", "rules": ["review"], "add": 15}],
        "budget": {"points": 600, "points_per_member": 60, "alerts": [80, 100]},
    },
    {
        "id": "gadget-days",
        "title": {"en": "Gadget days: three times for bands and buds"},
        "days": (14, 29),
        "boosts": [
            {
                "id": "triple",
                "rules": ["purchase"],
                "multiply": 3,
                "products": ["mi-band-9", "buds-6"],
                "channels": ["web", "app"],
            }
        ],
        "budget": {"points": 5_000},
    },
    {
        "id": "last-minute",
        "title": {"en": "Last minute shopping"},
        "days": (20, 25),
        "audience": {"countries": ["ES", "FR", "IT"]},
        "boosts": [{"id": "evenings", "rules": ["purchase"], "multiply": 1.5, "hours": ["18:00", "23:00"]}],
        "budget": {"points": 8_000},
    },
)
UNAPPROVED: tuple[dict[str, Any], ...] = (
    {
        "id": "come-back",
        "title": {"en": "We miss you: twice for the first order in 90 days"},
        "days": (18, 46),
        "audience": {"no_order_for": "P90D"},
        "boosts": [{"id": "double", "rules": ["purchase"], "multiply": 2}],
        "budget": {"points": 3_000, "points_per_member": 300},
    },
    {
        "id": "new-year",
        "title": {"en": "New year's draw"},
        "days": (26, 40),
        "boosts": [{"id": "share_more", "rules": ["share_link"], "multiply": 2}],
    },
)


class Shop:
    """The calls of a shop and its operators to a sandbox at `address`."""

    def __init__(self, client: httpx.AsyncClient, sandbox: dict[str, Any]) -> None:
        self._client = client
        self._keys = {name: sandbox[f"{name}_key"] for name in ("shop", "admin", "approver")}
        self._ids = count(1)
        self.now = datetime.fromisoformat(sandbox["now"])
        self.tokens: dict[str, str] = {}

    async def send(
        self, method: str, path: str, body: Any = None, *, key: str = "admin", tag: str = "", **query: str
    ) -> Any:
        """`key` names a key, or a member who sends this."""
        token = self.tokens.get(key) or self._keys[key]
        headers = {"authorization": f"Bearer {token}", "idempotency-key": f"lived-in-{next(self._ids)}"}
        if tag:
            headers["if-match"] = tag
        answer = await self._client.request(method, path, json=body, params=query, headers=headers)
        if answer.is_error:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    async def read(self, path: str, **query: str) -> tuple[Any, str]:
        """The answer with its tag."""
        headers = {"authorization": f"Bearer {self._keys['admin']}"}
        answer = await self._client.get(path, params=query, headers=headers)
        return answer.raise_for_status().json(), answer.headers["etag"]

    async def join(self, member: str, country: str, program: str = PROGRAM, **details: Any) -> None:
        body = {"program": program, "country": country, "member_id": member, **details}
        self.tokens[member] = (await self.send("POST", "/v1/sandbox/members", body))["token"]

    async def until(self, moment: datetime) -> None:
        answer = await self.send("POST", "/v1/sandbox/clock", {"to": moment.isoformat()})
        self.now = datetime.fromisoformat(answer["now"])

    async def events(self, *events: dict[str, Any]) -> None:
        result = await self.send("POST", "/v1/shop/events", list(events), key="shop")
        if result["refused"]:
            raise SystemExit(f"refused events: {result['refused']}")

    def event(
        self, kind: str, member: str, at: datetime, program: str = PROGRAM, **facts: Any
    ) -> dict[str, Any]:
        return {
            "id": f"event-{next(self._ids)}",
            "type": kind,
            "program": program,
            "member_id": member,
            "time": at.isoformat(),
            "data": facts,
        }


async def live_in(address: str) -> None:
    """Let a shop with members and campaigns live for half a month."""
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        shop = Shop(client, (await client.get("/v1/sandbox")).json())
        first = (shop.now.replace(day=1) + timedelta(days=32)).replace(
            day=1, hour=HOUR, minute=0, second=0, microsecond=0
        )
        await shop.until(first)
        await _members_join(shop)
        await _write_campaigns(shop, first)
        await _draws_open(shop, first)
        await _withdrawals_open(shop)
        for day in range(1, DAYS):
            await _one_day(shop, first + timedelta(days=day), day)
        await _half_a_month_later(shop)


async def _members_join(shop: Shop) -> None:
    for n in range(MEMBERS):
        country = PLACES[n % len(PLACES)]
        known = {"phone": f"+34 612 345 {n:03}"} if country == "ES" else {}
        await shop.join(f"m-{1000 + n}", country, card_numbers=[f"4929 00{n:02}"], **known)
    await shop.send(
        "PUT",
        "/v1/admin/segments/sleepers",
        {"title": {"en": "No order for 90 days"}, "computed": {"no_order_for": "P90D"}},
        program=PROGRAM,
    )


async def _write_campaigns(shop: Shop, first: datetime) -> None:
    for campaign in CAMPAIGNS:
        await _write(shop, campaign, first)
        await shop.send("POST", f"/v1/admin/campaigns/{campaign['id']}/submit", program=PROGRAM)
        await shop.send(
            "POST", f"/v1/admin/campaigns/{campaign['id']}/approve", key="approver", program=PROGRAM
        )
    for campaign in UNAPPROVED:
        await _write(shop, campaign, first)
    await shop.send("POST", "/v1/admin/campaigns/come-back/submit", program=PROGRAM)


async def _write(shop: Shop, campaign: dict[str, Any], first: datetime) -> None:
    begin, until = (f"{first + timedelta(days=day - 1):%Y-%m-%dT00:00:00}" for day in campaign["days"])
    document = {name: value for name, value in campaign.items() if name != "days"}
    await shop.send(
        "POST", "/v1/admin/campaigns", document | {"program": PROGRAM, "from": begin, "until": until}
    )


async def _draws_open(shop: Shop, first: datetime) -> None:
    """One closes before the pictures are made, and has winners by then."""
    for name, title, closes in (("advent", "Advent draw", 10), ("winter", "A week in the snow", 28)):
        draw = {
            "id": name,
            "program": PROGRAM,
            "title": {"en": title},
            "opens_at": f"{first + timedelta(days=1):%Y-%m-%dT00:00:00}",
            "closes_at": f"{first + timedelta(days=closes - 1):%Y-%m-%dT20:00:00}",
            "round_after": "PT1H",
            "winners": 3,
            "points": 500,
        }
        await shop.send("POST", "/v1/admin/draws", draw)


async def _withdrawals_open(shop: Shop) -> None:
    """Publish a version that opens what the document of Burkina Faso announces."""
    versions = await shop.send("GET", "/v1/admin/programs/bf-mi-points/versions")
    version = versions["items"][0]["version"]
    found = await shop.send("GET", f"/v1/admin/programs/bf-mi-points/versions/{version}")
    rules = found["document"].partition("\n[[examples]]")[0]
    document = rules.replace('version = "2024"', 'version = "2027"').replace("open = false", "open = true")
    document = document.replace("in_force_from = 2024-01-01", f"in_force_from = {shop.now:%Y-%m-%d}")
    await shop.send("POST", "/v1/admin/programs/bf-mi-points/versions", {"document": document})


async def _one_day(shop: Shop, noon: datetime, day: int) -> None:
    """Every member does something on some days."""
    await shop.until(noon)
    events = []
    for n in range(MEMBERS):
        member, busy = f"m-{1000 + n}", (n * 7 + day * 5) % 11
        at = noon - timedelta(minutes=30 + 31 * (n % 13))
        if busy < 3:
            product, cents = PRODUCTS[(n + day) % len(PRODUCTS)]
            events += _order(shop, member, at, f"{noon:%m%d}-{n}", product, cents)
        elif busy < 5:
            product = PRODUCTS[(n + day) % len(PRODUCTS)][0]
            await shop.send(
                "POST", "/v1/reviews", {"product_id": product, "review_id": f"r-{day}-{n}"}, key=member
            )
        elif busy < 7:
            await shop.send("POST", "/v1/fuel/taps", {}, key=member)
        elif busy == 7 and day == 3:
            await shop.send("POST", "/v1/draws/advent/entries", {}, key=member)
    await shop.events(*events)


def _order(
    shop: Shop, member: str, at: datetime, order_id: str, product: str, cents: int
) -> list[dict[str, Any]]:
    paid: dict[str, Any] = {
        "order_id": order_id,
        "channel": "web",
        "payment": {"method": "card"},
        "currency": "EUR",
        "lines": [{"line_id": "1", "product_id": product, "paid": cents}],
    }
    return [
        shop.event("order.paid", member, at, **paid),
        shop.event("order.delivered", member, at + timedelta(minutes=20), order_id=order_id),
    ]


async def _half_a_month_later(shop: Shop) -> None:
    await _points_are_spent(shop)
    await _friends_come(shop)
    await _money_is_withdrawn(shop)
    await _quizzes_are_answered(shop)
    await _campaigns_change(shop)
    await shop.until(shop.now + timedelta(hours=3, minutes=20))


async def _points_are_spent(shop: Shop) -> None:
    rich = [f"m-{1000 + n}" for n in range(0, MEMBERS, 6)]
    for member in rich:
        adjustment = {"points": 1200, "reason": "Opening balance of the old card", "reference": "card"}
        await shop.send("POST", f"/v1/admin/members/{member}/adjustments", adjustment, program=PROGRAM)
        for _ in range(2):
            await shop.send("POST", "/v1/redemptions", {"reward_id": "coupon_5"}, key=member)


async def _friends_come(shop: Shop) -> None:
    """Two friends share an address with who invited them, so their referrals wait for a decision."""
    await shop.join("ana", "ES", "demo-store", addresses=["Calle Mayor 1, Madrid"])
    points = {"points": 800, "reason": "Winner of the photo contest", "reference": "photo"}
    await shop.send("POST", "/v1/admin/members/ana/adjustments", points, program="demo-store")
    basket = {
        "member_id": "ana",
        "program": "demo-store",
        "order_id": "basket-1",
        "lines": [{"line_id": "1", "product_id": "nova-one", "paid": 900}],
        "payment": {"method": "card"},
        "currency": "EUR",
        "spend_max": True,
    }
    await shop.send("POST", "/v1/shop/checkout/holds", basket, key="shop")
    code = (await shop.send("GET", "/v1/me/referral", key="ana"))["code"]
    for n, address in enumerate(("Calle Mayor 1, Madrid", "Calle Mayor 1, Madrid", "Gran Vía 8, Madrid")):
        await shop.join(f"friend-{n}", "ES", "demo-store", addresses=[address], referral_code=code)


async def _money_is_withdrawn(shop: Shop) -> None:
    """The last digits of a number choose what the sandbox's provider does: docs/withdrawals.md."""
    for n, digits in enumerate(("10", "01", "03", "05", "06", "12", "14")):
        member, phone = f"bf-{n}", f"+226 70 12 3{n} {digits}"
        await shop.join(member, "BF", "bf-mi-points", phone=phone)
        adjustment = {"points": 300 + 10 * n, "reason": "Fair in Ouagadougou", "reference": "fair"}
        await shop.send("POST", f"/v1/admin/members/{member}/adjustments", adjustment, program="bf-mi-points")
        method = "cash" if digits in ("12", "14") else "mobile_money"
        await shop.send("POST", "/v1/withdrawals", {"points": 60 + 20 * n, "method": method}, key=member)


async def _quizzes_are_answered(shop: Shop) -> None:
    day = {"title": {"en": "Know your band", "fr": "Votre bracelet"}, "program": PROGRAM}
    question = {
        "id": "water",
        "kind": "one",
        "text": {"en": "How deep may the band dive?", "fr": "Jusqu'où plonge le bracelet ?"},
        "options": [
            {"id": "metres_50", "text": {"en": "50 metres", "fr": "50 mètres"}},
            {"id": "metres_5", "text": {"en": "5 metres", "fr": "5 mètres"}},
        ],
        "right": ["metres_50"],
        "explanation": {"en": "Up to 50 metres, for ten minutes.", "fr": "50 mètres, dix minutes."},
    }
    quiz = {
        "id": "band",
        "attempts": {"count": 1, "window": "day"},
        "time_limit": "PT1M",
        "draw": 1,
        "points_per_right": 5,
        "questions": [question],
    }
    await shop.send("POST", "/v1/admin/quizzes", day | quiz)
    for member in ("ana", "friend-0", "friend-2"):
        await shop.send("POST", "/v1/quizzes/lights/attempts", {}, key=member)


async def _campaigns_change(shop: Shop) -> None:
    """One is paused, another one waits with its next version, and backtests are done."""
    campaigns = "/v1/admin/campaigns"
    await shop.send("POST", f"{campaigns}/gadget-days/pause", program=PROGRAM)
    found, tag = await shop.read(f"{campaigns}/members-week", program=PROGRAM)
    document = found["document"]
    document["boosts"][0]["multiply"] = 3
    document["budget"]["points"] = 26_000
    document["audience"] = {"countries": ["ES", "FR", "IT"]}
    await shop.send("PUT", f"{campaigns}/members-week", document, program=PROGRAM, tag=tag)
    await shop.send("POST", f"{campaigns}/members-week/submit", program=PROGRAM)
    begin = shop.now - timedelta(days=14)
    window = {"from": f"{begin:%Y-%m-%dT00:00:00}", "until": f"{shop.now:%Y-%m-%dT00:00:00}"}
    await shop.send("POST", f"{campaigns}/backtests", {"document": document, **window})


async def operators_work(page: Page, address: str) -> None:
    """Correct members, one of them by more than an operator may alone, and add colleagues and a key."""
    corrections = (
        (1004, "120", "A parcel came late"),
        (1010, "900", "Lost in the move"),
        (1016, "-640", "Twice"),
    )
    for number, points, reason in corrections:
        await page.goto(f"{address}console/members/{PROGRAM}/m-{number}/correct")
        await page.fill("[name=points]", points)
        await page.fill("[name=reason]", reason)
        await _press(page, "correct")
    for email, role in (("lena.fischer@shop.example", "marketer"), ("tom@shop.example", "support")):
        await page.goto(f"{address}console/operators/new")
        await page.fill("[name=email]", email)
        await page.select_option("[name=role]", role)
        await page.locator("[name=programs]").first.check()
        await _press(page, "create")
    await page.goto(f"{address}console/keys/new")
    await page.fill("[name=name]", "Order system")
    await page.locator("[name=programs]").first.check()
    await _press(page, "create")


async def _press(page: Page, name: str) -> None:
    async with page.expect_navigation():
        await page.click(f"main [name={name}]")
