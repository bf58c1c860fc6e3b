"""Something to see on every page of the console: an address or several for each of its routes."""

from datetime import timedelta
from typing import Final

from msgspec import Struct

from engage.domain.activity import AppSignIn
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.referrals.claim import claim_referral
from engage.flows.referrals.my_referral import read_my_referral
from tests.console.browsing import Browser, Browsing, Page
from tests.console.shop import new_member, open_shop
from tests.support import draws, orders, protection, withdrawals
from tests.support.backtests import work
from tests.support.clock import NOON
from tests.support.database import rows
from tests.support.referrals import BASE, BY_REGISTRATION

EU: Final = "eu-mi-points"
CAMPAIGN: Final = "/console/campaigns/week"
BEGIN: Final = NOON + timedelta(minutes=30)

# The pages that only a form leads to are kept under addresses of their own.
ANSWERS: Final = "/console/answers/"


class Contents(Struct, frozen=True):
    """The addresses of each route, and the answers to forms."""

    addresses: dict[str, list[str]]
    answers: dict[str, Page]

    def add(self, route: str, *addresses: str) -> None:
        self.addresses.setdefault(f"/console{route}", []).extend(f"/console{each}" for each in addresses)

    def keep(self, name: str, page: Page, status: int = 200) -> None:
        assert page.status == status, page.text
        self.answers[f"{ANSWERS}{name}"] = page


async def fill(console: Browsing, admin: Browser) -> Contents:
    """Fill an installation that stands at NOON as operators and members do."""
    contents = Contents({}, {})
    await _add_lists(admin, contents)
    await _add_members(console, admin, contents)
    await _add_withdrawal(console, contents)
    await _add_campaign(console, admin, contents)
    await _add_draws(console, admin, contents)
    await _add_credit(console)
    await _add_programs(admin, contents)
    await _add_administration(console, admin, contents)
    return contents


async def _add_lists(admin: Browser, contents: Contents) -> None:
    """Pages that have addresses without an id."""
    for path in ("/sign-in", "/account", "/rewards", "/segments", "/health", "/audit", "/{rest:path}"):
        contents.add(path, path.replace("{rest:path}", "no/such/page"))
    contents.add("", "")
    contents.add("/assets/{version:str}/{name:str}", "/assets/0/none.css")
    contents.add("/reports", "/reports", f"/reports?show=liability&program={orders.PROGRAM}")
    contents.add("/reports/liability.csv", f"/reports/liability.csv?program={EU}")
    await admin.open("/console/segments")
    fields = {name: values[0] for name, values in admin.page.form("/console/segments").fields.items()}
    answer = await admin.client.post(
        "/console/segments",
        data=fields | {"program": EU, "segment": "fans"},
        files={"file": ("list.csv", b"member_id\nnobody\nno one\n")},
    )
    contents.keep("uploaded", Page(answer))


async def _add_members(console: Browsing, admin: Browser, contents: Contents) -> None:
    """A member with points, an order, a correction that waits, and a friend whose referral is held."""
    services = console.services
    await open_shop(services, BASE + BY_REGISTRATION)
    member, friend = [
        await new_member(services, points=900, phone=f"+3460000000{n}", addresses=["Calle Mayor 1"])
        for n in range(2)
    ]
    await orders.send_events(services, orders.paid(services, orders.line(), member_id=member))
    await claim_referral(
        services, orders.PROGRAM, friend, (await read_my_referral(services, orders.PROGRAM, member)).code
    )
    route, path = "/members/{program:str}/{member_id:str}", f"/members/{orders.PROGRAM}/{member}"
    contents.add(route, path)
    for change in ("/credits", "/orders", "/coupons", "/correct", "/erase"):
        contents.add(route + change, path + change)
    contents.add(f"{route}/merge", f"{path}/merge", f"{path}/merge?into={friend}")
    contents.add("/members", "/members", "/members?search=nobody", "/members?search=60000000")
    await admin.open(f"/console{path}/correct")
    contents.keep("not-corrected", await admin.send(f"/console{path}/correct", points="many"), 422)
    await admin.open(f"/console{path}/correct")
    await admin.send(f"/console{path}/correct", points=900, reason="A lost parcel")
    await _add_found(console, contents, "corrections", "correction_id")
    await _add_found(console, contents, "referrals", "referral_id")
    await add_suspicions(console, admin, contents)


async def add_suspicions(console: Browsing, admin: Browser, contents: Contents) -> None:
    """One that is open, one whose rejection waits for the admin, and one about which much was decided."""
    services = console.services
    await protection.open_ring(services)
    for device in ("phone", "kiosk"):
        members = [f"{device}-{n}" for n in range(5)]
        await protection.join(services, members)
        for member in members:
            for activity in (protection.TAP, protection.visit()):
                await protection.perform(services, member, activity, protection.origin(device))
    found = await rows(services.db, "SELECT source, id FROM suspicions")
    ids = {source: f"/suspicions/{id_}" for source, id_ in found}
    tablet, phone, kiosk = (ids[protection.source(device)] for device in ("tablet", "phone", "kiosk"))
    support = await console.signed_in("support")
    await support.open(f"/console{phone}")
    await support.send(f"/console{phone}/reject", reason="Thirty accounts of one person, all made today")
    await admin.open(f"/console{kiosk}")
    for action in ("release", "undo", "release"):
        await admin.send(f"/console{kiosk}/{action}", reason="The kiosk of the store in Madrid")
    contents.add("/suspicions/{suspicion_id:uuid}", tablet, phone, kiosk)
    by_source = f"/suspicions?source={protection.source('phone').hex()}"
    contents.add("/suspicions", "/suspicions", "/suspicions?state=requested", by_source)
    await admin.open(f"/console{tablet}")
    refused = await admin.send(f"/console{tablet}/reject", reason=" ")
    contents.keep("no-reason", refused, 422)


async def _add_found(console: Browsing, contents: Contents, table: str, name: str) -> None:
    """The list of a table that has one row, and the page of this row."""
    ((id_,),) = await rows(console.services.db, f"SELECT id FROM {table}")
    contents.add(f"/{table}", f"/{table}")
    contents.add(f"/{table}/{{{name}:uuid}}", f"/{table}/{id_}")


async def _add_withdrawal(console: Browsing, contents: Contents) -> None:
    services = console.services
    await open_shop(services, withdrawals.document(withdrawals.OPEN))
    await withdrawals.join(services)
    await withdrawals.request_withdrawal(services, method="cash")
    await _add_found(console, contents, "withdrawals", "withdrawal_id")


async def _add_campaign(console: Browsing, admin: Browser, contents: Contents) -> None:
    """A campaign that runs and has a second version, with a backtest that is done and one that is not."""
    await admin.open(f"/console/campaigns/new?program={EU}")
    begin = f"{BEGIN:%Y-%m-%dT%H:%M}"
    await admin.send("/console/campaigns/new", template="members_week", id="week", title="Week", begin=begin)
    page = await admin.open(f"{CAMPAIGN}/edit?program={EU}")
    typed = page.form(f"{CAMPAIGN}/document").fields["document"][0]
    contents.keep("mistake", await admin.send(f"{CAMPAIGN}/document", document=typed + "\nx = 1"), 422)
    await admin.open(f"{CAMPAIGN}/edit?program={EU}")
    await admin.send(f"{CAMPAIGN}/edit", **{"budget.points": "500"})
    await admin.open(f"{CAMPAIGN}/try?program={EU}")
    contents.keep("tried", await admin.send(f"{CAMPAIGN}/try"))
    await admin.open(f"{CAMPAIGN}?program={EU}")
    await admin.send(f"{CAMPAIGN}/act", action="submitted")
    approver = await console.signed_in("approver")
    await approver.open(f"{CAMPAIGN}?program={EU}")
    await approver.send(f"{CAMPAIGN}/act", action="approved")
    contents.add("/campaigns", "/campaigns", "/campaigns?search=nothing")
    contents.add("/campaigns/new", f"/campaigns/new?program={EU}")
    for section in ("", "/edit", "/report", "/versions", "/try", "/backtests"):
        contents.add(f"/campaigns/{{campaign_id:str}}{section}", f"/campaigns/week{section}?program={EU}")
    for is_done in (True, False):
        await admin.open(f"{CAMPAIGN}/backtests?program={EU}")
        page = await admin.send(f"{CAMPAIGN}/backtests")
        assert page.path.startswith(f"{CAMPAIGN}/backtests/"), page.text
        contents.add(
            "/campaigns/{campaign_id:str}/backtests/{backtest_id:uuid}",
            f"{page.path.removeprefix('/console')}?program={EU}",
        )
        if is_done:
            await work(console.services)


async def _add_credit(console: Browsing) -> None:
    """A credit of the campaign, which runs by now."""
    services = console.services
    member = await new_member(services, program=EU, person_ref="somebody")
    (answer,) = await record(services, [MemberActivity(EU, member, AppSignIn(), services.clock.now())])
    assert not isinstance(answer, Exception), answer


async def _add_draws(console: Browsing, admin: Browser, contents: Contents) -> None:
    """A draw that is over, and a draw and a quiz of operators. The clock goes on until the first is drawn."""
    services = console.services
    await open_shop(services, draws.document())
    await draws.join(services, "m-1", "m-2", "m-3")
    for member_id in ("m-1", "m-2", "m-3"):
        await draws.entered(services, member_id)
    await draws.advance_to(services, draws.ROUND_AT)
    for kind in ("quizzes", "draws"):
        page = await admin.open(f"/console/{kind}/new")
        typed = page.form(f"/console/{kind}/new").fields["document"][0]
        wrong = typed.replace("count = 1", "count = 0").replace("winners = 10", "winners = 0")
        contents.keep(f"{kind}-mistake", await admin.send(f"/console/{kind}/new", document=wrong), 422)
        await admin.open(f"/console/{kind}/new")
        contents.keep(
            f"{kind}-preview", await admin.send(f"/console/{kind}/new", document=typed, preview="yes")
        )
        page = await admin.send(f"/console/{kind}/new", document=typed)
        route, path = f"/{kind}/{{program_id:str}}/{{definition_id:str}}", page.path.removeprefix("/console")
        assert page.text.count("It is saved"), page.text
        contents.add(f"/{kind}", f"/{kind}")
        contents.add(f"/{kind}/new", f"/{kind}/new")
        contents.add(route, path)
        contents.add(f"{route}/edit", f"{path}/edit")
    drawn = f"/draws/{draws.PROGRAM}/plain"
    contents.add("/draws/{program_id:str}/{definition_id:str}", f"{drawn}?winners=yes")
    contents.add("/draws/{program_id:str}/{draw_id:str}/certificate", f"{drawn}/certificate")


async def _add_programs(admin: Browser, contents: Contents) -> None:
    contents.add("/programs", "/programs")
    contents.add("/programs/publish", f"/programs/publish?program={EU}")
    contents.add("/programs/{program_id:str}", f"/programs/{EU}")
    contents.add("/programs/{program_id:str}/versions/{version:str}", f"/programs/{EU}/versions/2025")
    contents.add("/programs/{program_id:str}/differences", f"/programs/{EU}/differences")
    page = await admin.open(f"/console/programs/publish?program={EU}")
    typed = page.form("/console/programs/publish").fields["document"][0]
    page = await admin.send("/console/programs/publish", document=typed + "\nx = 1")
    contents.keep("not-published", page, 422)


async def _add_administration(console: Browsing, admin: Browser, contents: Contents) -> None:
    operator = await console.operator("marketer", programs=[EU])
    ((id_,),) = await rows(
        console.services.db, "SELECT id FROM operators WHERE email = :email", email=operator
    )
    await admin.open("/console/keys/new")
    contents.keep("key", await admin.send("/console/keys", name="Till", scope="shop", programs=[EU]))
    ((key,),) = await rows(console.services.db, "SELECT id FROM api_keys WHERE name = 'Till'")
    for name, path, value in (("operators", "{operator_id:uuid}", id_), ("keys", "{key_id:str}", key)):
        contents.add(f"/{name}", f"/{name}")
        contents.add(f"/{name}/new", f"/{name}/new")
        contents.add(f"/{name}/{path}", f"/{name}/{value}")
    await admin.open(f"/console/operators/{id_}")
    contents.keep("password", await admin.send(f"/console/operators/{id_}/reset"))
