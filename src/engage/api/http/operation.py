"""Declarations of handlers for the contract, beside what Litestar reads from their signatures."""

from enum import Enum, auto
from typing import Any, Final, Self

from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Scope
from msgspec import Struct

from engage.domain.refusals import UseCase

OPT: Final = "contract"
MEMBER: Final[dict[str, list[str]]] = {"member": []}
SHOP: Final[dict[str, list[str]]] = {"shop": []}
OPERATOR: Final[dict[str, list[str]]] = {"operator": []}
APPROVER: Final[dict[str, list[str]]] = {"approver": []}

# The tags of operations without rate limits.
UNLIMITED: Final = frozenset({"Health", "Sandbox"})


class Repeat(Enum):
    """The effect of a repeated POST, with and without an Idempotency-Key."""

    KEY = auto()  # It would do the same once more. Under its key it does not: the flow keeps the key.
    KEY_REQUIRED = auto()  # As KEY, and it is refused without one.
    HARMLESS = auto()  # It names what it does, so repeating it changes nothing. Its answer is kept too.
    ANSWERED_ANEW = auto()  # It changes nothing, and its answer soon is out of date.


class Contract(Struct, frozen=True, kw_only=True):
    """Refusals follow from `use_case` and from the kind of request.

    `body`: the type of the JSON body. `repeat`: accepts an Idempotency-Key. `etag`: answers 304 to the
    ETag of the current answer. `if_match`: needs the ETag of what it changes; `may_match`: takes it. `also`:
    other statuses of an answer of the same type, with descriptions. `csv`: answers in CSV, too. `csv_body`:
    takes a body in CSV, with this description, too.
    """

    use_case: UseCase | None = None
    body: Any = None
    body_optional: bool = False
    repeat: Repeat | None = None
    etag: bool = False
    if_match: bool = False
    may_match: bool = False
    also: tuple[tuple[int, str], ...] = ()
    csv: bool = False
    csv_body: str | None = None

    def __deepcopy__(self, memo: object) -> Self:
        """Litestar copies the options of handlers, and some types cannot be copied."""
        return self


def contract(use_case: UseCase | None = None, **declared: Any) -> dict[str, Any]:
    """Make a handler's `opt`. Takes the fields of Contract."""
    return {OPT: Contract(use_case=use_case, **declared)}


def contract_of(handler: BaseRouteHandler) -> Contract:
    found = handler.opt[OPT]
    assert isinstance(found, Contract)
    return found


def operation_of(scope: Scope) -> str:
    """Name the operation of a request, for its path holds ids. Empty where it has none."""
    handler: Any = scope.get("route_handler")
    return "" if handler is None else str(handler.operation_id or handler.handler_name)


def tags_of(scope: Scope) -> frozenset[str]:
    """Read the tags of the operation of a request. Empty where it has none."""
    handler = scope.get("route_handler")
    return frozenset(handler.resolve_tags()) if isinstance(handler, HTTPRouteHandler) else frozenset()
