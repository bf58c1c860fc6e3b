from typing import Any

from litestar import Controller


class DemoController(Controller):
    path = "/demo"


def reference_of(x: Any) -> Any:
    return DemoController
