"""Pages: templates with the visitor's language, and headers that keep other sites and scripts out."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar.response import Response

from engage.console import assets, charts, formats
from engage.console.context import HtmlRequest, Visitor
from engage.console.cookies import LANGUAGES
from engage.console.forms import new_once
from engage.console.navigation import sections_for
from engage.domain.document.texts import text_in
from engage.domain.operators.roles import Permission
from engage.messages.catalogue import known, translate

TEMPLATES: Final = Path(__file__).parent / "templates"

# The key of a message that a page shows after a deed: `?done=campaign.approved`.
DONE: Final = "done"

HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Missing(StrictUndefined):
    """A field that a document leaves out: `fields.zone or "member"` may ask for it. Nothing may print it."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # The parent's refuses the question.
        return False


_templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=Missing,
    trim_blocks=True,
    lstrip_blocks=True,
)

# Options that show their values.
_templates.filters["pairs"] = lambda names: [(name, name) for name in names]
# Options that show texts: `states|options(t, 'corrections.state_of')`.
_templates.filters["options"] = lambda names, t, prefix: [(name, t(f"{prefix}.{name}")) for name in names]
_templates.filters["axis_end"] = charts.axis_end
_templates.globals["moment"] = datetime.fromisoformat
_templates.filters["days"] = lambda duration: duration.removeprefix("P").removesuffix("D")


def page(
    request: HtmlRequest,
    visitor: Visitor,
    template: str,
    *,
    status: int = 200,
    **values: Any,
) -> Response[bytes]:
    """Render a template for a visitor."""
    body = _templates.get_template(template).render(_context(request, visitor) | values)
    return Response(
        body.encode(),
        status_code=status,
        media_type="text/html",
        headers=dict(HEADERS),
    )


def _context(request: HtmlRequest, visitor: Visitor) -> dict[str, Any]:
    """The names that every template knows."""

    def t(key: str, /, *, counted: str | None = None, **facts: Any) -> str:
        return translate(f"console.{key}", visitor.language, facts, counted=counted)

    done = request.query_params.get(DONE, "")
    return {
        "t": t,
        "title_of": lambda texts: text_in(texts, visitor.language),
        "shows": formats.Shows(visitor.language),
        "visitor": visitor,
        "may": lambda permission: visitor.may(Permission(permission)),
        "sections": sections_for(visitor),
        "path": request.scope["path"],
        "languages": LANGUAGES,
        "asset": assets.path_of,
        "form_token": visitor.signed_in.session.form_token if visitor.signed_in else "",
        "new_once": new_once,
        "done": done if known(f"console.done.{done}") else "",
        "sandbox": visitor.console.sandbox,
        "is_part": "hx-request" in request.headers,
    }
