"""Places in sources that read the time."""

import ast
from pathlib import Path

TIME_READERS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "clock_gettime"),
    ("time", "clock_gettime_ns"),
}


def reads_of_time(file: Path) -> list[str]:
    """The places of a file that read the time."""
    return [
        f"{file}:{node.lineno} reads {node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in TIME_READERS
    ]
