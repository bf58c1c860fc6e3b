"""The operations of the contract, so that a later one is in every test of all operations."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from engage.api.contract.built import read_built

UUID = "019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10"


class Operation(Struct, frozen=True):
    """An operation and whom it is for: `member`, `shop`, `operator`, `approver`, or nobody in particular."""

    id: str
    method: str
    path: str
    needed: str
    body: Any

    @property
    def address(self) -> str:
        """An address of which nothing exists."""
        return re.sub(r"\{\w+\}", UUID, self.path)

    @property
    def has_id(self) -> bool:
        return "{" in self.path


@cache
def contract() -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(read_built(sandbox=True))
    return made


def operations() -> Iterator[Operation]:
    for path, methods in contract()["paths"].items():
        for method, described in methods.items():
            schemes = [name for scheme in described["security"] for name in scheme]
            body = described.get("requestBody", {}).get("content", {}).get("application/json")
            needed = schemes[0] if schemes else ""
            yield Operation(described["operationId"], method.upper(), path, needed, body)
