"""What the contract says of an operation and Litestar cannot read from its handler."""

from typing import Any, Self

from msgspec import Struct

OPT = "contract"


class Contract(Struct, frozen=True, kw_only=True):
    """`takes` is the type of the JSON body, `refusals` the codes of `engage.api.codes` that may come."""

    takes: Any = None
    takes_optional: bool = False
    refusals: tuple[str, ...] = ()
    once: bool = False  # Whether it honours an Idempotency-Key.
    answers_304: bool = False

    def __deepcopy__(self, memo: object) -> Self:
        """Litestar copies the options of handlers, and not every type can be copied."""
        return self


def contract(
    *refusals: str, takes: Any = None, optional: bool = False, once: bool = False, answers_304: bool = False
) -> dict[str, Any]:
    """For a handler's `opt`."""
    return {
        OPT: Contract(
            takes=takes, takes_optional=optional, refusals=refusals, once=once, answers_304=answers_304
        )
    }
