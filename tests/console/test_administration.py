"""Operators, API keys and the audit log in the console."""

from sqlalchemy import text

from engage.flows.operations.keys import create_key, list_keys
from engage.flows.operators.accounts import list_operators
from tests.console.browsing import Browser, Browsing
from tests.support.database import logged, rows

EU = "eu-mi-points"
AFRICA = "bf-mi-points"


def shown_secret(browser: Browser) -> str:
    """The password or the key that a page shows."""
    return browser.page.html.partition('<pre class="document"')[2].partition(">")[2].partition("<")[0]


async def forge(console: Browsing, subject: str, operator: str) -> None:
    """Change an entry of the audit log, as only the owner of the database can."""
    async with console.services.db.begin() as conn:
        await conn.execute(text("ALTER TABLE audit_log DISABLE TRIGGER audit_log_stays"))
        change = text("UPDATE audit_log SET operator = :operator WHERE subject = :subject")
        await conn.execute(change, {"operator": operator, "subject": subject})
        await conn.execute(text("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_stays"))


async def account_path(console: Browsing, email: str) -> str:
    found = [each for each in await list_operators(console.services.db) if each.email == email]
    return f"/console/operators/{found[0].id}"


async def test_an_operator_is_created_once_and_the_password_is_shown_once(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    page = await browser.open("/console/operators/new")
    form = page.form("/console/operators")
    fields = form.fields | {"email": ["New@Shop.example"], "role": ["support"], "programs": [EU]}
    page = await browser.post("/console/operators", fields)
    password = shown_secret(browser)
    assert (page.status, len(password)) == (200, 19)
    again = await browser.post("/console/operators", fields)
    assert (again.path, "was shown once" in again.text, password in again.html) == (
        "/console/operators",
        True,
        False,
    )
    assert "new@shop.example" in again.text
    stored = await rows(console.services.db, "SELECT count(*) FROM idempotency_keys WHERE body <> ''")
    assert stored == [(0,)]
    assert (await console.window().sign_in("new@shop.example", password)).path == "/console/account"
    page = await browser.open("/console/operators/new")
    page = await browser.send(
        "/console/operators", email="new@shop.example", role="finance", programs=[EU, AFRICA]
    )
    assert (page.status, "an operator with this address" in page.text) == (422, True)
    typed = page.form("/console/operators").fields
    assert (typed["email"], typed["role"], typed["programs"]) == (
        ["new@shop.example"],
        ["finance"],
        [AFRICA, EU],
    )


async def test_an_operator_who_is_disabled_is_signed_out(console: Browsing) -> None:
    browser, other = await console.signed_in("admin"), console.window()
    email = await console.operator("viewer", programs=[EU])
    await other.sign_in(email)
    path = await account_path(console, email)
    page = await browser.open(path)
    assert page.form(path).fields["programs"] == [EU]
    page = await browser.send(path, role="finance", programs=[EU, AFRICA], enabled=[])
    assert "The operator is changed" in page.text
    assert (await other.open("/console/account")).path == "/console/sign-in"
    _, (by, action, before, after) = await logged(console.services.db, f"operator:{email}")
    assert action == "changed"
    assert before == {"role": "viewer", "programs": [EU], "enabled": True}
    assert after == {"role": "finance", "programs": [AFRICA, EU], "enabled": False}
    assert "admin-" in str(by)


async def test_a_reset_shows_a_password_that_has_to_be_changed(console: Browsing) -> None:
    browser, email = await console.signed_in("admin"), await console.operator("viewer")
    path = await account_path(console, email)
    await browser.open(path)
    await browser.send(f"{path}/reset")
    assert (await console.window().sign_in(email, shown_secret(browser))).path == "/console/account"
    assert (await console.window().sign_in(email)).status == 422


async def test_nobody_changes_their_own_account(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    mine = next(
        each for each in await list_operators(console.services.db) if f">{each.email}<" in browser.page.html
    )
    path = f"/console/operators/{mine.id}"
    page = await browser.open(path)
    assert [form.action for form in page.forms if form.action.startswith(path)] == []
    token = page.form("/console/sign-out").fields["form_token"]
    fields = {"form_token": token, "once": ["own"], "role": ["viewer"], "programs": ["*"]}
    page = await browser.post(path, fields)
    assert (page.status, "another administrator" in page.text) == (422, True)
    page = await browser.post(f"{path}/reset", fields)
    assert (page.status, "another administrator" in page.text) == (422, True)
    assert (await browser.open("/console/operators")).status == 200


async def test_an_administrator_of_one_program_gives_no_other(console: Browsing) -> None:
    browser = await console.signed_in("admin", programs=[EU])
    foreign = await console.operator("viewer", programs=[AFRICA])
    everywhere = await console.operator("viewer")
    page = await browser.open("/console/operators")
    assert foreign not in page.text
    assert everywhere not in page.text
    assert (await browser.open(await account_path(console, foreign))).status == 404
    await browser.open("/console/operators/new")
    page = await browser.send("/console/operators", email="x@y.example", programs=["*", AFRICA])
    assert (page.status, "at least one program" in page.text) == (422, True)
    key = await create_key(console.services.db, name="africa", scopes=["shop"], programs=[AFRICA])
    assert (await browser.open(f"/console/keys/{key.split('_')[1]}")).status == 404


async def test_a_key_is_created_bound_and_revoked(console: Browsing) -> None:
    browser = await console.signed_in("admin")
    await browser.open("/console/keys/new")
    page = await browser.send("/console/keys", name="", programs=[EU])
    assert (page.status, "Give the key a name" in page.text) == (422, True)
    await browser.send("/console/keys", name="<script>till", scope="shop", programs=[EU])
    key = shown_secret(browser)
    assert key.startswith("ek_")
    assert "<script>till" not in browser.page.html
    id_ = key.split("_")[1]
    await browser.open(f"/console/keys/{id_}")
    page = await browser.send(f"/console/keys/{id_}/programs", programs=["*"])
    assert "are changed" in page.text
    await browser.send(f"/console/keys/{id_}/revoke")
    (listed,) = [each for each in await list_keys(console.services.db) if each.id == id_]
    assert (listed.programs, listed.revoked_at is not None) == (None, True)
    actions = [action for _, action, _, _ in await logged(console.services.db, f"api_key:{id_}")]
    assert actions == ["created", "bound", "revoked"]


async def test_only_administrators_open_operators_and_keys(console: Browsing) -> None:
    for role in ("viewer", "marketer", "approver", "support", "finance"):
        browser = await console.signed_in(role)
        for path in ("/console/operators", "/console/operators/new", "/console/keys", "/console/keys/new"):
            assert (await browser.open(path)).status == 403
        assert (await browser.open("/console/audit")).status == (200 if role == "approver" else 403)


async def test_the_audit_log_shows_the_fields_that_a_deed_changed(console: Browsing) -> None:
    browser, email = await console.signed_in("admin"), await console.operator("viewer", programs=[EU])
    path = await account_path(console, email)
    await browser.open(path)
    await browser.send(path, role="finance", programs=[EU], enabled="yes")
    page = await browser.open(f"/console/audit?subject=operator:{email}")
    assert "The 2 entries on this page are as they were written" in page.text
    newest = page.text.partition("changed")[2]
    assert newest.index("viewer") < newest.index("finance")
    changed = page.html.partition('data-label="Field"')[2].partition("</article>")[0]
    assert "role" in changed
    assert "programs" not in changed, "a field that stays is not shown"


async def test_the_audit_log_is_searched_by_operator(console: Browsing) -> None:
    browser, other = await console.signed_in("admin"), await console.signed_in("admin")
    page = await browser.open("/console/account")
    address = page.text.partition("Your account")[2].split()[0]
    for window, name in ((browser, "mine"), (other, "theirs")):
        await window.open("/console/keys/new")
        await window.send("/console/keys", name=f"key of {name}", scope="shop", programs=[EU])
    page = await browser.open(f"/console/audit?operator={address}")
    assert "key of mine" in page.text
    assert "key of theirs" not in page.text
    assert "No entry" in (await browser.open("/console/audit?operator=nobody%40shop.example")).text


async def test_the_audit_log_goes_on_with_older_entries(console: Browsing) -> None:
    for number in range(30):
        await create_key(console.services.db, name=f"page {number}", scopes=["shop"], programs=None)
    browser = await console.signed_in("admin")
    first = await browser.open("/console/audit")
    older = next(link for link in first.links if "before=" in link)
    second = await browser.open(older)
    numbers = [
        [int(part.partition('"')[0]) for part in page.html.split('id="entry-')[1:]]
        for page in (first, second)
    ]
    assert numbers[0] == sorted(numbers[0], reverse=True)
    assert len(numbers[0]) == 25
    assert numbers[1][0] == numbers[0][-1] - 1


async def test_a_changed_entry_is_pointed_out(console: Browsing) -> None:
    key = await create_key(console.services.db, name="before", scopes=["shop"], programs=None)
    browser = await console.signed_in("admin")
    subject = f"api_key:{key.split('_')[1]}"
    await forge(console, subject, "forged")
    page = await browser.open(f"/console/audit?subject={subject}")
    assert "was changed. Run `engage audit`" in page.text
    await forge(console, subject, "command line")
    page = await browser.open(f"/console/audit?subject={subject}")
    assert "as it was written" in page.text


async def test_entries_of_other_programs_are_not_shown(console: Browsing) -> None:
    browser = await console.signed_in("approver", programs=[EU])
    page = await browser.open("/console/audit")
    assert f"program:{EU}" in page.text
    assert f"program:{AFRICA}" not in page.text
    assert "operator:" not in page.html.partition("</form>")[2].partition("<article")[2]
    assert (await browser.open(f"/console/audit?program={AFRICA}")).status == 404
