"""What the contract says of an operation and Litestar cannot read from its handler."""

from typing import Any, Self

from msgspec import Struct

from engage.domain.refusals import UseCase

OPT = "contract"
MEMBER: dict[str, list[str]] = {"member": []}
SHOP: dict[str, list[str]] = {"shop": []}
OPERATOR: dict[str, list[str]] = {"operator": []}


class Contract(Struct, frozen=True, kw_only=True):
    """`takes` is the type of the JSON body; the refusals that can occur follow from `use_case`.

    `once`: it honours an Idempotency-Key. `tagged`: it answers 304 to an If-None-Match. `also` are other
    statuses, with their descriptions, that have an answer of the same type. `csv`: it answers in CSV too.
    """

    use_case: UseCase | None = None
    takes: Any = None
    optional: bool = False
    once: bool = False
    tagged: bool = False
    also: tuple[tuple[int, str], ...] = ()
    csv: bool = False

    def __deepcopy__(self, memo: object) -> Self:
        """Litestar copies the options of handlers, and not every type can be copied."""
        return self


def contract(
    use_case: UseCase | None = None,
    *,
    takes: Any = None,
    optional: bool = False,
    once: bool = False,
    tagged: bool = False,
    also: tuple[tuple[int, str], ...] = (),
    csv: bool = False,
) -> dict[str, Any]:
    """For a handler's `opt`."""
    made = Contract(
        use_case=use_case, takes=takes, optional=optional, once=once, tagged=tagged, also=also, csv=csv
    )
    return {OPT: made}
