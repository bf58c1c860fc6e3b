"""Facts of refusals, and examples of them for the catalogue."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct


class Fact(Struct, frozen=True):
    """A member of the problem document beside those that all problems have."""

    type: type
    example: Any
    nullable: bool = False

    def accepts(self, value: object) -> bool:
        return isinstance(value, self.type) or (self.nullable and value is None)


TOMORROW: Final = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
NEXT_MONTH: Final = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
HOLD_ID: Final = "019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10"
COUPON_CODE: Final = "7QK2M-0X4TZ-9BVHC-3RNWJ"
MADRID: Final = "Europe/Madrid"
OUAGADOUGOU: Final = "Africa/Ouagadougou"


def one_error(field: str, message: str) -> dict[str, Any]:
    return {"errors": [{"field": field, "message": message}]}
