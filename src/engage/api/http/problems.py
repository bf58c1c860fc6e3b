"""Problem documents (RFC 9457): the one place where an exception becomes an answer.

A Refusal is expected. An error of the framework is translated into a Refusal. Anything else is a bug: it is
logged with its trace id, and the answer says no more than that id.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
import structlog
from litestar import Request
from litestar.exceptions import HTTPException, MethodNotAllowedException, ValidationException
from litestar.params import ParameterKwarg
from litestar.types import Scope
from litestar.typing import FieldDefinition
from msgspec import Meta, Struct

from engage import tracing
from engage.api.http.answers import SAFE, Answer, Headers, encode
from engage.api.http.languages import negotiate
from engage.api.http.operation import operation_of
from engage.api.http.rate_limits import charge_refused
from engage.domain.document import decoding
from engage.domain.document.errors import Problem as DocumentProblem
from engage.domain.document.errors import shown
from engage.domain.refusals import Code, Refusal
from engage.logs import BoundedLog
from engage.messages.refusals import refusal_message

BODY_BYTES = 64 * 1024
TYPE_PREFIX = "/problems/"

# Ids of zeros and the version ff are not valid.
_TRACE_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

log = structlog.get_logger()

# Each has its own bound: many refusals of one kind do not hide those of another. Failures have a wide one:
# callers can hardly cause them, and an outage fails thousands of requests.
_failed = BoundedLog(__name__, burst=10_000, lines_per_s=50)
_unauthorized, _refused = BoundedLog(__name__), BoundedLog(__name__)


class FieldError(Struct, frozen=True):
    """`field` is the path of a field of the body, `$` for all of it, or the name of a parameter or header."""

    field: str
    message: str


class Reason(Struct, frozen=True):
    """Why not, in one or two sentences: the `detail`, where credits have their reason."""

    text: str


class Problem(Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457). Facts of the code are further members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    why: Reason


def invalid(*errors: FieldError) -> Refusal:
    return Refusal(Code.INVALID_REQUEST, errors=list(errors))


def invalid_document(problems: Iterable[DocumentProblem]) -> Refusal:
    """The refusal of a document with these problems."""
    errors = [FieldError(problem.path, problem.mistake) for problem in problems]
    return Refusal(Code.INVALID_DOCUMENT, errors=errors)


def to_problem(request: Request[Any, Any, Any], error: Exception) -> Answer[Problem]:
    """Answer an exception raised by a handler, or before there is a handler."""
    trace_id = _trace_id(request.scope)
    refusal = _refusal(request, error)
    if refusal is not None and refusal.status < 500:
        refusal = charge_refused(request.scope, refusal)
    facts: dict[str, object] = {"trace_id": trace_id, "operation": operation_of(request.scope)}
    if refusal is None:
        log.error("a request failed", exc_info=error, **facts)
        refusal = Refusal(Code.INTERNAL_ERROR)
    else:
        _log_refusal(refusal, facts)
    metrics = getattr(request.scope.get("litestar_app"), "metrics", None)
    if metrics is not None:
        metrics.refusals.add(str(refusal.code))
    return _problem(refusal, request.scope, trace_id)


# A rule of the program may say 403 too, such as not_open_yet: then the credentials were right.
_OF_CREDENTIALS: Final = (Code.UNAUTHORIZED, Code.FORBIDDEN, Code.OTHER_PROGRAM)


def _log_refusal(refusal: Refusal, facts: dict[str, object]) -> None:
    """Log who was refused, and why. Many callers can cause that, so these lines are bounded."""
    facts |= {"status": refusal.status, "code": str(refusal.code)}
    if refusal.status >= 500:
        _failed.write("warning", "a request failed", part=refusal.facts.get("part", ""), **facts)
    elif refusal.code in _OF_CREDENTIALS:
        reason = refusal.reason or f"no scope {refusal.facts.get('scope', '')}"
        _unauthorized.write("warning", "credentials were refused", reason=reason, **facts)
    else:
        _refused.write("info", "a request was refused", **facts)


def _problem(refusal: Refusal, scope: Scope, trace_id: str) -> Answer[Problem]:
    language = language_of(scope)
    text = refusal_message(refusal.code, refusal.facts, language)
    document = Problem(
        type=TYPE_PREFIX + refusal.code,
        title=text.title,
        status=refusal.status,
        detail=text.detail,
        code=refusal.code,
        trace_id=trace_id,
        why=Reason(text.detail),
    )
    fields = msgspec.structs.asdict(document)
    assert fields.keys().isdisjoint(refusal.facts), refusal.facts
    headers = [*_headers(refusal), (b"content-language", language.encode())]
    return Answer(encode(fields | refusal.facts), headers, refusal.status)


def language_of(scope: Scope) -> str:
    """Negotiate the language of an answer."""
    return negotiate(header_of(scope, b"accept-language").decode("latin-1"))


def _headers(refusal: Refusal) -> Headers:
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"), *SAFE]
    wait_s = refusal.facts.get("retry_after_s")
    if wait_s is not None:
        headers.append((b"retry-after", b"%d" % wait_s))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status == 405:
        headers.append((b"allow", ", ".join(refusal.facts["allowed"]).encode()))
    return headers


def _refusal(request: Request[Any, Any, Any], error: Exception) -> Refusal | None:
    """Translate an exception into a Refusal; None for a bug."""
    match error:
        case Refusal():
            return error
        case MethodNotAllowedException():
            return Refusal(Code.METHOD_NOT_ALLOWED, allowed=allowed_methods(error))
        case ValidationException():
            return invalid(*_parameter_errors(request, error.extra))
        case HTTPException(status_code=404):
            return Refusal(Code.NOT_FOUND)
        case HTTPException(status_code=413):
            return too_large(BODY_BYTES)
        case HTTPException(status_code=status) if 400 <= status < 500:
            return invalid(FieldError("$", error.detail))
        case _:
            return None


def allowed_methods(error: MethodNotAllowedException) -> list[str]:
    """List the methods of a path. Where there is GET there is HEAD."""
    allowed = set((error.headers or {}).get("allow", "").split(", "))
    return sorted(allowed | {"HEAD"} if "GET" in allowed else allowed)


def too_large(limit_bytes: int) -> Refusal:
    return Refusal(Code.BODY_TOO_LARGE, limit_bytes=limit_bytes)


def _parameter_errors(request: Request[Any, Any, Any], extra: Any) -> list[FieldError]:
    """Describe the parameters that Litestar refuses in the words that bodies are described in."""
    parameters = request.route_handler.parsed_fn_signature.parameters
    errors = [str(error["key"]) for error in extra if error.get("key") in parameters]
    return [_parameter_error(request, parameters[key]) for key in errors] or [
        FieldError("$", "expected parameters as the contract describes them")
    ]


def _parameter_error(request: Request[Any, Any, Any], parameter: FieldDefinition) -> FieldError:
    kwarg = parameter.kwarg_definition
    assert isinstance(kwarg, ParameterKwarg)
    name = kwarg.name or parameter.name
    range_, length = Meta(ge=kwarg.ge, le=kwarg.le), Meta(max_length=kwarg.max_length)
    type_: Any = Annotated[parameter.annotation, range_, length]
    sent = request.query_params.get(name, request.path_params.get(name))
    return FieldError(name, f"expected {decoding.expected(type_)}, got {shown(sent)}")


def _trace_id(scope: Scope) -> str:
    """Return the trace id of this request's trace, or of the caller (W3C Trace Context), or a new one."""
    known = tracing.trace_id()
    if known is not None:
        return known
    parent = _TRACE_PARENT.fullmatch(header_of(scope, b"traceparent"))
    return parent[1].decode() if parent else secrets.token_hex(16)


def header_of(scope: Scope, name: bytes) -> bytes:
    return next((value for header, value in scope["headers"] if header == name), b"")
