"""The direction of imports, and the one place where time is read: held by reading the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).parents[1]
ENGAGE = ROOT / "src" / "engage"
SOURCES = [*sorted(ENGAGE.rglob("*.py")), *sorted((ROOT / "workers").rglob("*.py"))]

# What each room may import besides itself; a file directly in the package is a room of its own. Downwards
# only: a room that is missing here, or an import that is, is a question about the architecture.
BASE = {"domain", "schema", "audit", "clock", "settings", "sandbox_secrets", "programs", "batching"}
ADAPTERS = {"gate", "ledger", "store", "signals", "payouts"}
BELOW_THE_EDGE = BASE | ADAPTERS | {"runtime", "flows", "tokens", "logs", "messages"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "domain": set(),
    "clock": set(),
    "settings": set(),
    "sandbox_secrets": set(),
    "migrations": {"schema"},
    "programs": {"domain"},
    "messages": {"domain"},
    "batching": {"domain"},
    "direct_sql": set(),
    "audit": {"domain"},
    "schema": {"domain"},
    "logs": {"settings"},
    "tokens": {"domain", "clock", "settings", "sandbox_secrets"},
    **{adapter: {"domain", "clock", "direct_sql", "schema", "audit"} for adapter in ADAPTERS},
    "runtime": BASE | ADAPTERS,
    "flows": BASE | ADAPTERS | {"runtime"},
    **dict.fromkeys(("api", "console", "feed", "workers"), BELOW_THE_EDGE),
    "embedded": {"settings", "sandbox_secrets"},
    "cli": BELOW_THE_EDGE | {"embedded", "api", "feed", "workers", "bench"},
    "bench": BELOW_THE_EDGE | {"embedded", "api", "feed"},
}

# The parts of the feed that are told what happened and answer what to do.
SANS_IO = {"session", "messages"}

# Nothing here reads a file of the user's, a socket, an environment or a clock.
DOMAIN_MAY_IMPORT = {
    *(
        "collections",
        "datetime",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "itertools",
        "math",
        "re",
        "types",
        "typing",
        "uuid",
    ),
    *("tomllib", "zlib", "zoneinfo", "importlib", "msgspec", "babel", "phonenumbers"),
}

# The packages and modules of engage.domain. A document is below what it has sections of, a program above.
DOMAIN_BOTTOM_UP = [
    *("refusals", "keys", "calendar", "money", "activity", "document", "market"),
    *("accounts", "members", "earning", "simulation", "feature"),
    *("examples", "withdrawals", "rewards", "checkout"),
    *("program", "playback"),
]

# The packages of engage.flows. Those that combine features are above them.
FLOWS_BOTTOM_UP = [
    *("programs", "reports", "withdrawals", "activities", "members", "shop", "checkout", "rewards"),
    *("scheduled", "reads", "operations"),
]

TIME_READERS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
}


class Import(Struct, frozen=True):
    file: Path
    line: int
    module: str

    @property
    def room(self) -> str:
        """Of engage; the first name of any other package."""
        first, _, rest = self.module.partition(".")
        return rest.partition(".")[0] or "__init__" if first == "engage" else first

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def room_of(file: Path) -> str:
    if not file.is_relative_to(ENGAGE):
        return "workers"
    return file.relative_to(ENGAGE).parts[0].removesuffix(".py")


def upwards(room: str, bottom_up: list[str]) -> list[str]:
    """The imports of a package that stands later in the order, or is not in it."""
    order = {package: n for n, package in enumerate(bottom_up)}
    found = []
    for each in ALL:
        if room_of(each.file) == room and each.module.startswith(f"engage.{room}."):
            package = each.file.relative_to(ENGAGE / room).parts[0].removesuffix(".py")
            if order[package] < order[each.module.split(".")[2]]:
                found.append(str(each))
    return found


def imports(file: Path) -> Iterator[Import]:
    """All of them, those inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (Import(file, node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module="engage" | "engage.domain" as package, names=names, level=0):
                yield from (Import(file, node.lineno, f"{package}.{alias.name}") for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield Import(file, node.lineno, module)
            case ast.ImportFrom():
                yield Import(file, node.lineno, "a relative name")


ALL = [each for file in SOURCES for each in imports(file)]


def is_ours(each: Import) -> bool:
    return each.module.partition(".")[0] in ("engage", "workers")


def test_every_room_has_its_place() -> None:
    assert {room_of(file) for file in SOURCES} <= MAY_IMPORT.keys()


def test_imports_run_one_way() -> None:
    wrong = [
        str(each)
        for each in ALL
        if is_ours(each) and each.room not in MAY_IMPORT[room_of(each.file)] | {room_of(each.file)}
    ]
    assert wrong == []


def test_the_rooms_make_no_circle() -> None:
    above: dict[str, set[str]] = dict(MAY_IMPORT)
    while free := [room for room, below in above.items() if not below & above.keys()]:
        for room in free:
            del above[room]
    assert above == {}


def test_packages_of_the_domain_import_only_those_before_them() -> None:
    assert upwards("domain", DOMAIN_BOTTOM_UP) == []


def test_packages_of_flows_import_only_those_before_them() -> None:
    assert upwards("flows", FLOWS_BOTTOM_UP) == []


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_adapters_do_not_know_each_other(adapter: str) -> None:
    others = ADAPTERS - {adapter}
    assert [str(each) for each in ALL if room_of(each.file) == adapter and each.room in others] == []


def test_the_domain_is_pure() -> None:
    foreign = [each for each in ALL if room_of(each.file) == "domain" and not is_ours(each)]
    assert [str(each) for each in foreign if each.room not in DOMAIN_MAY_IMPORT] == []


def test_a_session_of_the_feed_knows_no_server() -> None:
    inner = [each for each in ALL if room_of(each.file) == "feed" and each.file.stem in SANS_IO]
    assert [str(each) for each in inner if is_ours(each) and each.room not in ("feed", "domain")] == []
    outside = {"asyncio", "socket", "websockets", "redis", "sqlalchemy", "time"}
    assert [str(each) for each in inner if each.room in outside] == []


def test_servers_of_our_own_are_for_one_machine_only() -> None:
    assert {room_of(each.file) for each in ALL if each.module.startswith("engage.embedded")} <= {
        "embedded",
        "cli",
        "bench",
    }


def test_time_is_read_in_one_place() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno} reads {node.value.id}.{node.attr}"
        for file in SOURCES
        if file != ENGAGE / "clock.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in TIME_READERS
    ]
    assert wrong == []
    assert [str(each) for each in ALL if each.module == "time" and _takes_names(each)] == []


def _takes_names(each: Import) -> bool:
    """`from time import …` would hide the name that is looked for."""
    line = each.file.read_text(encoding="utf-8").splitlines()[each.line - 1]
    return line.lstrip().startswith("from")
