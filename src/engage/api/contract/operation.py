"""Declarations of handlers for the contract, beside what Litestar reads from their signatures."""

from typing import Any, Final, Self

from msgspec import Struct

from engage.domain.refusals import UseCase

OPT: Final = "contract"
MEMBER: Final[dict[str, list[str]]] = {"member": []}
SHOP: Final[dict[str, list[str]]] = {"shop": []}
OPERATOR: Final[dict[str, list[str]]] = {"operator": []}


class Contract(Struct, frozen=True, kw_only=True):
    """Refusals follow from `use_case` and from the kind of request.

    `body`: the type of the JSON body. `idempotent`: accepts an Idempotency-Key. `etag`: answers 304 to the
    ETag of the current answer. `also`: other statuses of an answer of the same type, with descriptions.
    `csv`: answers in CSV, too.
    """

    use_case: UseCase | None = None
    body: Any = None
    body_optional: bool = False
    idempotent: bool = False
    etag: bool = False
    also: tuple[tuple[int, str], ...] = ()
    csv: bool = False

    def __deepcopy__(self, memo: object) -> Self:
        """Litestar copies the options of handlers, and some types cannot be copied."""
        return self


def contract(use_case: UseCase | None = None, **declared: Any) -> dict[str, Any]:
    """Make a handler's `opt`. Takes the fields of Contract."""
    return {OPT: Contract(use_case=use_case, **declared)}
