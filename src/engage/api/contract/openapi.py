"""The OpenAPI document.

Litestar makes paths, parameters and operations. The schemas are those of msgspec, which are more exact
(`engage.api.contract.schemas`), and each operation lists the problems that it can answer, by code.
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from litestar import Controller, Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.routes import HTTPRoute

from engage import yaml_text
from engage.api.contract.schemas import Schemas, ref
from engage.api.http.operation import UNLIMITED, Contract, Repeat, contract_of
from engage.api.http.problems import TYPE_PREFIX, Problem
from engage.domain.refusals import Code, RequestKind, UseCase, codes_of
from engage.messages.catalogue import LANGUAGES
from engage.messages.refusals import refusal_message

Document = dict[str, Any]
Operation = tuple[str, str, HTTPRouteHandler]  # Path, method, handler.

PROBLEM_JSON: Final = "application/problem+json"
EXAMPLE_TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"

DESCRIPTION: Final = f"""\
Loyalty points for store apps. The app records what members do; the shop's servers register members and send
events. What is answered with a 2xx status is stored durably.

JSON in snake_case. Times are RFC 3339 in UTC, points are integers. Unknown fields are refused.
A refused body comes back with all of its mistakes, in words, in `errors`.

Every error is a problem document (RFC 9457) with a stable `code`. `title` and `detail` are in the language of
`Accept-Language` ({", ".join(LANGUAGES)}). Further members are facts of the code.
A limit of the rules is a 409 with `resets_at`. A 429 is throttling: the request has changed nothing, may be
repeated after `Retry-After` seconds, and has not used its Idempotency-Key. `RateLimit` headers show how much
a caller may still ask for; each event of the shop counts as a request.
"""

TAGS: Final = {
    "Me": "The member's balance, credits and statement.",
    "Activities": "Activities of members, which earn points.",
    "Challenges": "Goals that members reach by what they do, and how far they are.",
    "Tiers": "Levels of members, their benefits and their history.",
    "Rewards": "Rewards, redemptions, coupons and F-codes.",
    "Quizzes": "Quizzes, which are graded here and earn points.",
    "Referrals": "Invitations of friends, and the operators' queue.",
    "Protection": "Points that are held since they look like farming, and the operators' queue.",
    "Draws": "Prize draws that anyone can check.",
    "Leaderboards": "Ranks by a score, and the names that members chose.",
    "Games": "Instant wins, and the proof of their outcomes.",
    "Withdrawals": "Points withdrawn as money.",
    "Feed": "Tickets for the websocket feed of the balance.",
    "Shop": "The shop's server: members, events and checkout.",
    "Segments": "Lists of members and conditions on them, for campaigns.",
    "Operators": "Members, adjustments, programs and reports.",
    "Campaigns": "What earns more for a while: written, approved and ended by operators.",
    "Schemas": "The JSON Schemas of documents, for editors and tools.",
    "Sandbox": "Test members and a test clock. Only under `engage up`.",
    "Health": "For load balancers and supervisors.",
}

_CONFIG: Final = OpenAPIConfig(
    title="engage",
    version=version("engage"),
    description=DESCRIPTION,
    license=License(name="Apache-2.0", identifier="Apache-2.0"),
    use_handler_docstrings=True,
    tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
    components=Components(
        security_schemes={
            "member": SecurityScheme(
                type="http",
                scheme="bearer",
                bearer_format="JWT",
                description="A token of the shop's identity provider, with `sub` (the member) and `program`. "
                "It may name the member's device: `device`, an opaque identifier of at most 128 characters, "
                "and `device_attested`, true where the provider has checked what it is.",
            ),
            "shop": SecurityScheme(
                type="http",
                scheme="bearer",
                description="A key with the scope `shop`, for the programs that it names "
                "(`engage keys create NAME --scope shop --program ID`).",
            ),
            "operator": SecurityScheme(
                type="http",
                scheme="bearer",
                description="A key with the scope `admin`, for the programs that it names "
                "(`engage keys create NAME --scope admin --program ID`).",
            ),
            "approver": SecurityScheme(
                type="http",
                scheme="bearer",
                description="A key with the scope `approve`, or `admin`, for the programs that it names "
                "(`engage keys create NAME --scope approve --program ID`).",
            ),
        }
    ),
)


def document(controllers: Sequence[type[Controller]]) -> Document:
    """Make the document of these controllers."""
    app = Litestar(list(controllers), openapi_config=_CONFIG, logging_config=None)
    drawn: Document = app.openapi_schema.to_schema()
    operations = sorted(_operations(app), key=_order)
    schemas = Schemas(
        kind
        for _, _, handler in operations
        for kind in (_answers(handler), contract_of(handler).body)
        if kind is not None
    )
    paths: Document = {}
    for path, method, handler in operations:
        operation = drawn["paths"][path][method]
        _complete(operation, handler, schemas)
        paths.setdefault(path, {})[method] = _without_noise(operation)
    used = {tag for _, _, handler in operations for tag in handler.resolve_tags()}
    text = str(paths)
    return {
        "openapi": drawn["openapi"],
        "info": drawn["info"],
        "servers": drawn["servers"],
        "tags": [tag for tag in drawn["tags"] if tag["name"] in used],
        "paths": paths,
        "components": {
            "securitySchemes": drawn["components"]["securitySchemes"],
            "schemas": schemas.components,
            "headers": _HEADERS,
            "examples": {
                code.value: {"summary": refusal_message(code, {}, "en").title, "value": example(code)}
                for code in Code
                if f"/examples/{code}" in text
            },
        },
    }


def as_yaml(made: Document) -> str:
    head = "# Generated by `engage openapi`; do not edit.\n"
    return head + yaml_text.dump(made)


def _operations(app: Litestar) -> Iterator[Operation]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            if handler.resolve_include_in_schema():
                for method in handler.http_methods:
                    yield route.path_format, method.lower(), handler


def _order(operation: Operation) -> tuple[int, str, str]:
    path, method, handler = operation
    return list(TAGS).index(handler.resolve_tags()[0]), path, method


def _answers(handler: HTTPRouteHandler) -> Any:
    """Return the T of a handler's Answer[T]."""
    return handler.parsed_fn_signature.return_type.inner_types[0].annotation


def _complete(operation: Document, handler: HTTPRouteHandler, schemas: Schemas) -> None:
    """Replace the bodies and responses of an operation by those of its declaration."""
    known = contract_of(handler)
    success = str(handler.status_code)
    given: Document = {"application/json": {"schema": schemas.of(_answers(handler))}}
    if known.csv:
        given["text/csv"] = {"schema": {"type": "string"}}
    answers: Document = {success: {"description": handler.response_description, "content": given}}
    answers |= {str(status): {"description": text, "content": given} for status, text in known.also}
    codes = codes_of(*_occasions(operation, known))
    if known.body is not None or known.csv_body is not None:
        body: Document = {}
        if known.body is not None:
            body["application/json"] = {"schema": schemas.of(known.body)}
        if known.csv_body is not None:
            body["text/csv"] = {"schema": {"type": "string", "description": known.csv_body}}
        operation["requestBody"] = {"required": not known.body_optional, "content": body}
    if known.etag:
        _tag(operation, answers, success)
    if known.if_match or known.may_match:
        operation.setdefault("parameters", []).append(_IF_MATCH | {"required": known.if_match})
    if known.repeat is not None:
        _answer_once(operation, answers, success, known.repeat)
    if _is_limited(operation):
        answers[success]["headers"] = answers[success].get("headers", {}) | _LIMIT_HEADERS
    operation["responses"] = answers | _problems(codes)
    operation["responses"]["default"] = _problem("Any other problem.", codes_of(RequestKind.ANY))


def _occasions(operation: Document, known: Contract) -> Iterator[UseCase | RequestKind]:
    """The use case and the kinds of requests of an operation."""
    if known.use_case is not None:
        yield known.use_case
    if "Health" not in operation["tags"]:
        yield RequestKind.USING_SERVICES
    if _is_limited(operation):
        yield RequestKind.LIMITED
    schemes = {name for scheme in operation["security"] for name in scheme}
    if schemes:
        yield RequestKind.WITH_CREDENTIALS
    if schemes & {"shop", "operator", "approver"}:
        yield RequestKind.WITH_API_KEY
    if known.body is not None or known.csv_body is not None:
        yield RequestKind.WITH_BODY
    if "Sandbox" in operation["tags"]:
        yield RequestKind.OF_SANDBOX
        if known.body is not None:
            yield RequestKind.OF_SANDBOX_WITH_BODY
    if known.repeat in (Repeat.KEY, Repeat.KEY_REQUIRED, Repeat.HARMLESS):
        yield RequestKind.IDEMPOTENT
    if known.repeat in (Repeat.KEY, Repeat.KEY_REQUIRED):
        yield RequestKind.COVERED_BY_KEY
    if known.repeat is Repeat.KEY_REQUIRED:
        yield RequestKind.WITH_REQUIRED_KEY
    parameters = operation.get("parameters", ())
    if any(item["in"] == "path" and item["schema"].get("format") == "uuid" for item in parameters):
        yield RequestKind.WITH_UUID_IN_PATH


def _is_limited(operation: Document) -> bool:
    return UNLIMITED.isdisjoint(operation["tags"])


_LIMIT_HEADERS: Final = {
    name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit-Policy", "RateLimit")
}
_HEADERS: Final = {
    "RateLimit-Policy": {
        "description": "The limits of the caller (draft-ietf-httpapi-ratelimit-headers-10): a quota of `q` "
        "requests, which is whole again after `w` seconds. Absent where there is no limit.",
        "schema": {"type": "string"},
        "example": '"member";q=120;w=30',
    },
    "RateLimit": {
        "description": "`r` requests are left of each quota. It is whole again in `t` seconds.",
        "schema": {"type": "string"},
        "example": '"member";r=119;t=1',
    },
}

_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The ETag of the version that the caller has read.",
    "schema": {"type": "string"},
}


def _tag(operation: Document, answers: Document, success: str) -> None:
    text = {"schema": {"type": "string"}}
    operation.setdefault("parameters", []).append(
        {
            "name": "If-None-Match",
            "in": "header",
            "description": "The ETag of a known answer.",
            **text,
        }
    )
    etag = {"ETag": {"description": "Identifies this state of the answer.", **text}}
    answers[success]["headers"] = etag
    answers["304"] = {"description": "Nothing has changed.", "headers": etag}


_UNDER_KEY: Final = (
    "It is processed once, even if its answer was lost: the key is stored together with what the request "
    "does. For 72 hours a repeated request gets the same answer. A refused request has done nothing, so its "
    "key stays free."
)
_REPEATS: Final = {
    Repeat.KEY: f"Send one, and repeat the request with it until there is an answer. {_UNDER_KEY}",
    Repeat.KEY_REQUIRED: "Required, because money leaves: one for each withdrawal. Repeat the request with "
    f"it until there is an answer. {_UNDER_KEY}",
    Repeat.HARMLESS: "Repeating this request changes nothing, even without a key. With one, a repeated "
    "request gets the same answer for 72 hours. A refused request has done nothing, so its key stays free.",
    Repeat.ANSWERED_ANEW: "Accepted, and not needed: this request changes nothing, and is answered anew.",
}


def _answer_once(operation: Document, answers: Document, success: str, repeat: Repeat) -> None:
    operation.setdefault("parameters", []).append(
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": repeat is Repeat.KEY_REQUIRED,
            "description": _REPEATS[repeat],
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
    )
    if repeat is not Repeat.ANSWERED_ANEW:
        replayed = {"description": "Present on a repeated answer.", "schema": {"const": "true"}}
        answers[success]["headers"] = {"Idempotency-Replayed": replayed}


def _problems(codes: Sequence[Code]) -> Document:
    """Responses by status."""
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(code.status, []).append(code)
    return {
        str(status): _problem(", ".join(f"`{code}`" for code in of_status), of_status)
        for status, of_status in sorted(by_status.items())
    }


def _problem(description: str, codes: Sequence[Code]) -> Document:
    examples = {code.value: {"$ref": f"#/components/examples/{code}"} for code in codes}
    content = {PROBLEM_JSON: {"schema": ref(Problem), "examples": examples}}
    made: Document = {"description": description, "content": content}
    if any("retry_after_s" in code.facts for code in codes):
        wait = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        made["headers"] = {"Retry-After": wait}
        if Code.RATE_LIMITED in codes:
            made["headers"] |= _LIMIT_HEADERS
    return made


def _without_noise(operation: Document) -> Document:
    """Drop the defaults of parameters, and null, which a query cannot express."""
    for parameter in operation.get("parameters", ()):
        for name in ("deprecated", "allowEmptyValue", "allowReserved"):
            parameter.pop(name, None)
        parameter["schema"] = _of_parameter(parameter["schema"])
    return {name: value for name, value in operation.items() if value is not False}


def _of_parameter(schema: Document) -> Document:
    one, *_ = [kind for kind in schema.get("oneOf", [{}]) if kind != {"type": "null"}]
    made = {name: value for name, value in schema.items() if name not in ("oneOf", "description")} | one
    if isinstance(made["type"], list):
        made["type"] = next(kind for kind in made["type"] if kind != "null")
    if "enum" in made:
        made["enum"] = [value for value in made["enum"] if value]
    # The empty string stands for a parameter that was left out.
    return {
        name: int(value) if isinstance(value, float) else value for name, value in made.items() if value != ""
    }


def example(code: Code) -> Document:
    """A problem document of a code, in English."""
    text = refusal_message(code, code.examples, "en")
    facts: Document = msgspec.to_builtins(code.examples)
    return {
        "type": TYPE_PREFIX + code,
        "title": text.title,
        "status": code.status,
        "detail": text.detail,
        "code": code.value,
        "trace_id": EXAMPLE_TRACE_ID,
        "why": {"text": text.detail},
        **facts,
    }
