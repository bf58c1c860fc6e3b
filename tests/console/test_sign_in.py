"""Signing in to the console: sessions, lock-outs, second factors, and forms of other sites."""

import asyncio

import pyotp

from engage.domain.operators.sign_in import ATTEMPTS
from engage.flows.operators.accounts import change_operator, reset_operator
from tests.console.browsing import PASSWORD, Browsing, HtmlForm
from tests.support.database import logged, rows

NEW_PASSWORD = "seven green parrots"
WRONG = "is not right"


async def test_a_page_asks_to_sign_in_and_opens_afterwards(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    page = await browser.open("/console/account")
    assert page.path == "/console/sign-in"
    page = await browser.send("/console/sign-in", email=email.upper(), password=PASSWORD)
    assert (page.status, page.path) == (200, "/console/account")
    assert email in page.text


async def test_a_page_opens_afterwards_with_its_query(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    await browser.open("/console/campaigns?program=eu-mi-points&search=week+one")
    page = await browser.send("/console/sign-in", email=email, password=PASSWORD)
    assert page.path == "/console/campaigns"
    assert 'value="week one"' in page.html


async def test_a_session_ends_when_its_operator_signs_out(console: Browsing) -> None:
    browser = await console.signed_in("viewer")
    token = browser.client.cookies["engage_session"]
    await browser.open("/console/account")
    await browser.send("/console/sign-out")
    stolen = console.window()
    stolen.client.cookies.set("engage_session", token)
    assert (await stolen.open("/console/account")).path == "/console/sign-in"


async def test_the_cookie_is_kept_from_scripts_and_other_sites(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    browser.client.follow_redirects = False
    page = await browser.sign_in(email)
    cookie = page.answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert PASSWORD not in page.answer.text


async def test_nobody_learns_which_addresses_are_known(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    known = await browser.sign_in(email, "a wrong password")
    unknown = await browser.sign_in("nobody@shop.example", "a wrong password")
    assert known.status == unknown.status == 422
    assert WRONG in known.text
    assert known.text == unknown.text


async def test_ten_wrong_passwords_lock_the_operator_out(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    for _ in range(ATTEMPTS):
        assert WRONG in (await browser.sign_in(email, "a wrong password")).text
    locked = await browser.sign_in(email)
    nobody = await browser.sign_in("nobody@shop.example")
    assert (locked.status, locked.text) == (nobody.status, nobody.text), "nobody learns whose address it is"
    given = await reset_operator(console.services.db, email, by="test")
    assert (await browser.sign_in(email, given)).path == "/console/account"


async def test_wrong_passwords_at_once_are_no_more_than_one_after_the_other(console: Browsing) -> None:
    email = await console.operator("viewer")

    async def guess() -> str:
        return (await console.window().sign_in(email, "a wrong password")).text

    pages = await asyncio.gather(*(guess() for _ in range(2 * ATTEMPTS)))
    assert all(WRONG in page for page in pages)
    query = "SELECT failures FROM operators WHERE email = :email"
    assert await rows(console.services.db, query, email=email) == [(ATTEMPTS,)]
    assert WRONG in (await console.window().sign_in(email)).text


async def test_a_new_operator_chooses_a_password_first(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    given = await reset_operator(console.services.db, email, by="test")
    page = await browser.sign_in(email, given)
    assert page.path == "/console/account"
    for new, problem in (
        ("short", "at least 12 characters"),
        ("aaaaaaaaaaaaaaaa", "more different characters"),
        (given, "another one than before"),
    ):
        page = await browser.send(
            "/console/account/password", present_password=given, new_password=new, repeated=new
        )
        assert (page.status, problem in page.text) == (422, True), page.text
    other = console.window()
    await other.sign_in(email, given)
    page = await browser.send(
        "/console/account/password", present_password=given, new_password=NEW_PASSWORD, repeated=NEW_PASSWORD
    )
    assert "Your password is changed" in page.text
    assert (await other.open("/console/account")).path == "/console/sign-in", "other sessions end"
    assert (await console.window().sign_in(email, NEW_PASSWORD)).status == 200
    actions = [action for _, action, _, _ in await logged(console.services.db, f"operator:{email}")]
    assert actions == ["created", "reset", "password_changed"]


async def test_a_code_works_once(console: Browsing) -> None:
    browser = console.window()
    email = await console.operator("viewer")
    await browser.sign_in(email)
    page = await browser.open("/console/account")
    secret = page.form("/console/account/second-factor").fields["secret"][0]
    at = int(console.services.clock.wall().timestamp())
    page = await browser.send("/console/account/second-factor", code="000000" + "1")
    assert "not right" in page.text
    before, now = (pyotp.TOTP(secret).at(at + off) for off in (-30, 0))
    page = await browser.send("/console/account/second-factor", code=before)
    assert "asks for a code from now on" in page.text

    other = console.window()
    page = await other.sign_in(email)
    assert (page.status, "authenticator app" in page.text) == (422, True)
    page = await other.send("/console/sign-in", email=email, password=PASSWORD, code=now)
    assert page.status == 200, page.text
    replayed = console.window()
    await replayed.sign_in(email)
    page = await replayed.send("/console/sign-in", email=email, password=PASSWORD, code=now)
    assert (page.status, WRONG in page.text) == (422, True)


async def test_a_second_factor_is_replaced_with_the_password_only(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    await browser.sign_in(email)
    forms = [(await browser.open("/console/account")).form("/console/account/second-factor") for _ in "12"]
    answers = [
        await browser.post(form.action, form.fields | {"code": [code_for(console, form)]}) for form in forms
    ]
    assert "asks for a code from now on" in answers[0].text
    assert (answers[1].status, "Turn it off first" in answers[1].text) == (422, True)
    await browser.send("/console/account/second-factor/off", password="a wrong password")
    assert "not your present password" in browser.page.text
    await browser.send("/console/account/second-factor/off", password=PASSWORD)
    form = browser.page.form("/console/account/second-factor")
    page = await browser.send("/console/account/second-factor", code=code_for(console, form))
    assert "asks for a code from now on" in page.text


def code_for(console: Browsing, form: HtmlForm) -> str:
    """The code of now for the secret that a form shows."""
    return pyotp.TOTP(form.fields["secret"][0]).at(int(console.services.clock.wall().timestamp()))


async def test_a_disabled_operator_is_signed_out(console: Browsing) -> None:
    browser, email = console.window(), await console.operator("viewer")
    await browser.sign_in(email)
    await change_operator(console.services.db, email, role="viewer", programs=None, enabled=False, by="test")
    assert (await browser.open("/console/account")).path == "/console/sign-in"
    assert WRONG in (await browser.sign_in(email)).text


async def test_a_form_of_another_site_does_nothing(console: Browsing) -> None:
    browser = await console.signed_in("viewer")
    page = await browser.open("/console/account")
    fields = page.form("/console/sign-out").fields
    for changed, headers in (
        ({"form_token": [""]}, {}),
        ({"form_token": ["another"]}, {}),
        ({}, {"origin": "http://evil.example"}),
        ({}, {"sec_fetch_site": "cross-site"}),
    ):
        page = await browser.post("/console/sign-out", fields | changed, **headers)
        assert (page.status, "Not for your role" in page.text) == (403, True)
    assert (await browser.open("/console/account")).path == "/console/account"


async def test_no_address_of_another_site_is_opened_after_signing_in(console: Browsing) -> None:
    email = await console.operator("viewer")
    for path in (
        "https://evil.example/",
        "//evil.example/",
        "/console//evil.example",
        "/\\evil.example",
        "/v1/me",
    ):
        browser = console.window()
        browser.client.follow_redirects = False
        await browser.open("/console/sign-in")
        page = await browser.send("/console/sign-in", email=email, password=PASSWORD, next=path)
        assert page.answer.headers["location"] == "/console/campaigns"


async def test_a_language_is_chosen_and_kept(console: Browsing) -> None:
    browser = console.window()
    assert "Connexion" in (await browser.open("/console/sign-in", accept_language="fr-CA, en;q=0.5")).text
    await browser.post("/console/language", {"language": ["ru"], "next": ["/console/sign-in"]})
    assert "Вход" in (await browser.open("/console/sign-in")).text
    assert 'lang="ru"' in browser.page.html
