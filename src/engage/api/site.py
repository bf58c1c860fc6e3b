"""Pages for people: the demo store, the API reference, and a page for each problem.

Pages load everything from this server. A content security policy enforces it and forbids inline scripts. The
reference is rendered by Scalar, a vendored file of npm (`.ci/vendor_scalar`), which needs inline styles.
"""

import asyncio
import gzip
import hashlib
import mimetypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Controller, Request, get
from litestar.params import PathParameter

from engage.api.contract import built, openapi
from engage.api.http.answers import SAFE, Answer, Headers
from engage.api.http.problems import language_of
from engage.decoding.weighted import preferred
from engage.domain.refusals import Code, Refusal
from engage.messages.refusals import refusal_message

HERE: Final = Path(__file__).parent
PAGES: Final = HERE / "pages"
TEMPLATES: Final = HERE / "templates"

VENDOR: Final = HERE / "vendor"

SCALAR: Final = "1.76.0"
RENDERER: Final = f"scalar-{SCALAR}.js"

POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self' ws: wss:",
        "img-src 'self' data:",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
REFERENCE_POLICY: Final = f"{POLICY}; style-src 'self' 'unsafe-inline'"

_templates = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


class _MadeOnce:
    """A text that takes a while to make. A thread makes it, and the API answers others meanwhile."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._text: bytes | None = None

    async def get(self) -> bytes:
        async with self._making:
            if self._text is None:
                self._text = await asyncio.to_thread(self._make)
        return self._text


class DemoController(Controller):
    """The demo store, which is nothing but a client of the API and the feed."""

    include_in_schema = False

    @get("/")
    async def index(self, request: Request[Any, Any, Any]) -> Answer[bytes]:
        return _file(request, PAGES, "index.html")

    @get("/demo/{name:str}")
    async def asset(
        self, request: Request[Any, Any, Any], name: Annotated[str, PathParameter()]
    ) -> Answer[bytes]:
        return _file(request, PAGES, name)


def reference(*, sandbox: bool) -> type[Controller]:
    """Make the reference of an API, by its built document. YAML is made when somebody first asks."""

    @cache
    def as_json_text() -> bytes:
        return built.read_built(sandbox=sandbox)

    yaml_text = _MadeOnce(lambda: openapi.as_yaml(msgspec.json.decode(as_json_text())).encode())

    @cache
    def page() -> bytes:
        return _render("reference.html", renderer=RENDERER)

    class ReferenceController(Controller):
        include_in_schema = False

        @get("/docs")
        async def docs(self, request: Request[Any, Any, Any]) -> Answer[bytes]:
            return _tagged(request, page(), b"text/html; charset=utf-8", policy=REFERENCE_POLICY)

        @get("/docs/{name:str}")
        async def asset(
            self, request: Request[Any, Any, Any], name: Annotated[str, PathParameter()]
        ) -> Answer[bytes]:
            if name == RENDERER:
                return _renderer(request)
            if name.endswith(".html"):
                raise _nothing()
            return _file(request, TEMPLATES, name)

        @get("/openapi.json")
        async def as_json(self, request: Request[Any, Any, Any]) -> Answer[bytes]:
            return _tagged(request, as_json_text(), b"application/vnd.oai.openapi+json")

        @get("/openapi.yaml")
        async def as_yaml(self, request: Request[Any, Any, Any]) -> Answer[bytes]:
            return _tagged(request, await yaml_text.get(), b"application/vnd.oai.openapi")

        @get("/problems/{code:str}")
        async def problem(
            self, request: Request[Any, Any, Any], code: Annotated[str, PathParameter()]
        ) -> Answer[bytes]:
            """Explain the problem that the `type` of a problem document names."""
            known = Code.named(code)
            if known is None:
                raise _nothing()
            language = language_of(request.scope)
            text = refusal_message(known, known.examples, language)
            example = msgspec.json.format(msgspec.json.encode(openapi.example(known)), indent=2).decode()
            body = _render("problem.html", code=known, text=text, example=example, language=language)
            return _tagged(request, body, b"text/html; charset=utf-8")

    return ReferenceController


def _nothing() -> Refusal:
    return Refusal(Code.NOT_FOUND)


def _render(template: str, **values: Any) -> bytes:
    return _templates.get_template(template).render(**values).encode()


def _file(request: Request[Any, Any, Any], folder: Path, name: str) -> Answer[bytes]:
    """Read a small file of a flat folder. It is read for each request, so edits show at once."""
    if name not in {file.name for file in folder.iterdir() if file.is_file()}:
        raise _nothing()
    kind, _ = mimetypes.guess_type(name)
    media = kind or "application/octet-stream"
    if media.startswith("text/"):
        media += "; charset=utf-8"
    return _tagged(request, (folder / name).read_bytes(), media.encode())


def _renderer(request: Request[Any, Any, Any]) -> Answer[bytes]:
    """The reference's script, stored compressed. Its name has its version, so browsers keep it."""
    headers: Headers = [
        (b"content-type", b"text/javascript; charset=utf-8"),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"vary", b"accept-encoding"),
        *_page_headers(POLICY),
    ]
    if preferred(request.headers.get("accept-encoding", ""), ["identity", "gzip"]) != "gzip":
        return Answer(_script(compressed=False), headers, 200)
    return Answer(_script(compressed=True), [*headers, (b"content-encoding", b"gzip")], 200)


@cache
def _script(*, compressed: bool) -> bytes:
    """Read the script once: decompressing its five megabytes for each request would stop the event loop."""
    body = (VENDOR / f"{RENDERER}.gz").read_bytes()
    return body if compressed else gzip.decompress(body)


def _page_headers(policy: str) -> Headers:
    return [
        *SAFE,
        (b"content-security-policy", policy.encode()),
        (b"x-frame-options", b"DENY"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]


def _tagged(
    request: Request[Any, Any, Any], body: bytes, media_type: bytes, *, policy: str = POLICY
) -> Answer[bytes]:
    tag = b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'
    headers: Headers = [
        (b"content-type", media_type),
        (b"cache-control", b"no-cache"),
        (b"etag", tag),
        *_page_headers(policy),
    ]
    known = [value for name, value in request.scope["headers"] if name == b"if-none-match"]
    if any(tag in value for value in known):
        return Answer(b"", headers, 304)
    return Answer(body, headers, 200)
