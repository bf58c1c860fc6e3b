from typing import Any


def demo_handlers() -> list[Any]:
    return []


def reference_handlers() -> list[Any]:
    return []
