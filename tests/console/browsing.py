"""A browser without a screen: opens pages of the console, fills in forms, follows redirects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from itertools import count
from typing import Any, cast

import httpx
from msgspec import Struct, field

from engage.api.app import app_of
from engage.api.http.context import Api, open_api
from engage.clock import Clock
from engage.domain.operators.roles import Role
from engage.flows.operators.accounts import AccountProblem, create_operator
from engage.runtime.services import Services
from engage.settings import Settings

PASSWORD = "correct horse battery"
_numbers = count(1)

Fields = dict[str, list[str]]


class HtmlForm(Struct):
    """A form with the values that it has before anybody types."""

    action: str
    method: str
    fields: Fields = field(default_factory=dict)


class _Reader(HTMLParser):
    """Collects the forms, the links and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[HtmlForm] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._select: str | None = None
        self._area: str | None = None
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._hidden += tag in ("script", "style", "title")
        match tag:
            case "form":
                self.forms.append(HtmlForm(values.get("action", ""), values.get("method", "get")))
            case "a" if "href" in values:
                self.links.append(values["href"])
            case "input" if self.forms and "name" in values:
                if values.get("type") not in ("checkbox", "radio") or "checked" in values:
                    self._add(values["name"], values.get("value", ""))
            case "select":
                self._select = values.get("name")
            case "option" if self._select and "selected" in values:
                self._add(self._select, values.get("value", ""))
            case "textarea":
                self._area = values.get("name")
                self._add(self._area or "", "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "title")
        if tag == "select":
            self._select = None
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            values = self.forms[-1].fields[self._area]
            values[-1] += data.removeprefix("\n") if not values[-1] else data
        elif not self._hidden and data.strip():
            self.words.append(" ".join(data.split()))

    def _add(self, name: str, value: str) -> None:
        if self.forms:
            self.forms[-1].fields.setdefault(name, []).append(value)


class Page:
    """An answer of the console."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self.path = answer.url.path
        self.html = answer.text
        reader = _Reader()
        reader.feed(answer.text)
        self.forms, self.links = reader.forms, reader.links
        self.text = " ".join(reader.words)

    def form(self, action: str) -> HtmlForm:
        """The form that is posted to this path."""
        posts = [form for form in self.forms if form.method == "post"]
        found = [form for form in posts if form.action.partition("?")[0] == action]
        assert found, f"{self.path} ({self.status}) has forms to {[form.action for form in self.forms]}"
        return found[0]


class Browser:
    """A window with cookies of its own. `page` is the one that it shows."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page: Page

    async def open(self, path: str, **headers: str) -> Page:
        answer = await self.client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        self.page = Page(answer)
        return self.page

    async def send(self, action: str, /, **typed: object) -> Page:
        """Send the form of this page that goes to `action`, with what was typed: texts, or lists of texts."""
        form = self.page.form(action)
        return await self.post(form.action, form.fields | _typed(typed))

    async def post(self, path: str, fields: Fields, **headers: str) -> Page:
        """Send fields to a path, whatever the page shows."""
        answer = await self.client.post(
            path, data=fields, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        self.page = Page(answer)
        return self.page

    async def sign_in(self, email: str, password: str = PASSWORD, **more: str) -> Page:
        await self.open("/console/sign-in")
        return await self.send("/console/sign-in", email=email, password=password, **more)


class Browsing:
    """An open console, and the windows that look at it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.app = app_of(api)
        self._windows: list[httpx.AsyncClient] = []

    @property
    def services(self) -> Services:
        return self.api.services

    def window(self) -> Browser:
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, self.app)),
            base_url="http://localhost",
            follow_redirects=True,
        )
        self._windows.append(client)
        return Browser(client)

    async def operator(self, role: Role, *, programs: list[str] | None = None) -> str:
        """Create an operator with PASSWORD and return the address."""
        email = f"{role}-{next(_numbers)}@shop.example"
        made = await create_operator(self.services.db, email, role, programs, by="test", password=PASSWORD)
        assert not isinstance(made, AccountProblem), made
        return email

    async def signed_in(self, role: Role, *, programs: list[str] | None = None) -> Browser:
        """A window in which a new operator has signed in."""
        browser = self.window()
        page = await browser.sign_in(await self.operator(role, programs=programs))
        assert page.status == 200, page.text
        return browser

    async def close(self) -> None:
        for client in self._windows:
            await client.aclose()


@asynccontextmanager
async def browsing(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Browsing]:
    """Open the console of an installation whose programs are published."""
    async with open_api(settings, clock) as api:
        console = Browsing(api)
        yield console
        await console.close()


def _typed(typed: dict[str, Any]) -> Fields:
    return {
        name: [str(each) for each in value] if isinstance(value, list) else [str(value)]
        for name, value in typed.items()
    }
