"""The pages: the demo store, and the API reference, which is written out of the contract itself.

Packaged renderers of OpenAPI either fetch themselves from elsewhere or do not know version 3.1; a page that
needs no script reads as well, and is there when the network is not.
"""

import re
from collections.abc import Sequence
from importlib import resources
from mimetypes import guess_type
from typing import Any, Final

from jinja2 import Environment, PackageLoader
from litestar import Controller, Response, get
from litestar.exceptions import NotFoundException
from litestar.response import Redirect
from markupsafe import Markup, escape

from engage.api import openapi
from engage.api.openapi import Document

# Everything comes from here. The store's page also talks to the feed, which has a port of its own.
POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
HTML: Final = "text/html"
_CODE: Final = re.compile("`([^`]+)`")
METHODS: Final = ("get", "post", "put", "delete")


class DemoController(Controller):
    """The demo store of the sandbox: static files, and nothing else is reached by their names."""

    include_in_schema = False

    @get("/", sync_to_thread=False)
    def page(self) -> Response[bytes]:
        return _file("pages", "index.html")

    @get("/demo/{name:str}", sync_to_thread=False)
    def asset(self, name: str) -> Response[bytes]:
        return _file("pages", name)


def reference_of(contract: Sequence[type[Controller]]) -> type[Controller]:
    """The reference of these controllers: a page, and the documents that programs read."""
    made = openapi.document(contract)
    page = _page(made)
    text = openapi.as_yaml(made)

    class ReferenceController(Controller):
        include_in_schema = False

        @get("/docs", sync_to_thread=False)
        def reference(self) -> Response[bytes]:
            return Response(page, media_type=HTML, headers=HEADERS)

        @get("/docs/reference.css", sync_to_thread=False)
        def style(self) -> Response[bytes]:
            return _file("reference", "reference.css")

        @get("/docs/engage.yaml", sync_to_thread=False)
        def contract_text(self) -> Response[str]:
            return Response(text, media_type="application/yaml", headers=HEADERS)

        @get("/openapi.yaml", sync_to_thread=False)
        def usual_place(self) -> Redirect:
            return Redirect("/docs/engage.yaml")

    return ReferenceController


def _file(folder: str, name: str) -> Response[bytes]:
    """A file of the package. Raises NotFoundException for any name that its folder does not list."""
    files = {entry.name: entry for entry in resources.files("engage.api").joinpath(folder).iterdir()}
    found = files.get(name)
    if found is None or not found.is_file():
        raise NotFoundException
    kind = guess_type(name)[0] or "application/octet-stream"
    return Response(found.read_bytes(), media_type=kind, headers=HEADERS)


def _page(made: Document) -> bytes:
    templates = Environment(
        loader=PackageLoader("engage.api", "reference"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"kind": kind_of, "prose": prose}
    sections = [(tag, [op for op in _operations(made) if tag["name"] in op["tags"]]) for tag in made["tags"]]
    rendered = templates.get_template("reference.html").render(
        info=made["info"],
        sections=sections,
        schemas=made["components"]["schemas"],
        examples=made["components"]["examples"],
    )
    return rendered.encode()


def _operations(made: Document) -> list[Document]:
    return [
        {"parameters": [], "requestBody": None, "security": [], **operation, "path": path, "method": method}
        for path, operations in made["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
    ]


def prose(text: str) -> Markup:
    """Text with `code` in it, as HTML."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # It has just been escaped.


def kind_of(schema: Document) -> str:
    """A schema in a few words, for a table: `string (date-time) or null`, `list of Credit`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " | ".join(repr(value) for value in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(kind_of(arm) for arm in schema[union]))
    return _plain_kind(schema)


def _plain_kind(schema: Document) -> str:
    kinds: Any = schema.get("type", "any")
    names = []
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind == "array":
            names.append(f"list of {kind_of(schema.get('items', {}))}")
        elif kind == "string" and "format" in schema:
            names.append(f"string ({schema['format']})")
        else:
            names.append(str(kind))
    return " or ".join(names)
