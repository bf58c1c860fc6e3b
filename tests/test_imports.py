"""The direction of imports, and the one module that reads the time, checked in the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.support.reads_of_time import reads_of_time

ROOT = Path(__file__).parents[1]
ENGAGE = ROOT / "src" / "engage"
SOURCES = [*sorted(ENGAGE.rglob("*.py")), *sorted((ROOT / "workers").rglob("*.py"))]

# Layers that each layer may import besides itself. A file directly in the package is a layer too. Imports run
# downwards only: to add a layer or an import here is a decision about the architecture.
BASE = {
    "decoding",
    "domain",
    "schema",
    "audit",
    "clock",
    "settings",
    "live_settings",
    "sandbox_secrets",
    "programs",
    "batching",
    "fifo_cache",
    "connections",
    "metrics",
    "tracing",
}
ADAPTERS = {"gate", "ledger", "store", "signals", "payouts", "beacons"}
BELOW_THE_EDGE = BASE | ADAPTERS | {"runtime", "flows", "tokens", "logs", "messages", "yaml_text"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "decoding": set(),
    "domain": {"decoding"},
    "clock": {"domain"},
    "settings": set(),
    "live_settings": {"settings", "domain"},
    "metrics": set(),
    "sandbox_secrets": set(),
    "migrations": {"connections", "schema"},
    "programs": {"domain"},
    "messages": {"domain"},
    "batching": {"domain", "tracing"},
    "direct_sql": set(),
    "fifo_cache": set(),
    "connections": {"domain"},
    "yaml_text": set(),
    "audit": {"domain"},
    "schema": {"domain"},
    "logs": {"settings", "live_settings"},
    "tracing": {"settings", "logs"},
    "tokens": {"decoding", "domain", "clock", "settings", "live_settings", "sandbox_secrets", "fifo_cache"},
    **{
        adapter: {"decoding", "domain", "clock", "connections", "direct_sql", "schema", "audit"}
        for adapter in ADAPTERS
    },
    "runtime": BASE | ADAPTERS | {"direct_sql"},
    "flows": BASE | ADAPTERS | {"runtime"},
    **dict.fromkeys(("console", "feed", "workers"), BELOW_THE_EDGE),
    "api": BELOW_THE_EDGE | {"console"},
    "embedded": {"settings", "sandbox_secrets"},
    "doctor": BELOW_THE_EDGE | {"api", "feed"},
    "cli": BELOW_THE_EDGE | {"embedded", "doctor", "api", "feed", "workers", "bench", "torture"},
    "bench": BELOW_THE_EDGE | {"embedded", "api", "console", "feed"},
    "torture": BELOW_THE_EDGE | {"embedded"},
}

# Modules of the feed without input and output: events in, actions out.
SANS_IO = {"session", "messages"}

# None of these reads users' files, sockets, the environment or a clock.
DOMAIN_MAY_IMPORT = {
    *(
        "bisect",
        "calendar",
        "collections",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "hmac",
        "itertools",
        "math",
        "re",
        "types",
        "typing",
        "uuid",
    ),
    *("unicodedata", "zlib", "zoneinfo", "importlib", "msgspec", "babel", "phonenumbers", "tomlkit"),
    "py_arkworks_bls12381",
}

# Packages and modules of engage.domain. `document` is below the sections of documents, `program` above them.
DOMAIN_BOTTOM_UP = [
    *(
        "fairness",
        "refusals",
        "keys",
        "operators",
        "calendar",
        "codes",
        "money",
        "activity",
        "identity",
        "document",
        "tasks",
    ),
    *("market", "accounts", "members", "earning", "simulation", "feature", "definitions"),
    *("examples", "streaks", "withdrawals", "rewards", "referrals", "checkout", "games", "draws"),
    *("challenges", "quizzes", "tiers", "leaderboards", "protection"),
    *("program", "campaigns", "playback", "backtests"),
]

# Packages of engage.flows. Those that combine features are above the features.
FLOWS_BOTTOM_UP = [
    *("definitions", "segments", "protection"),
    *("programs", "reports", "withdrawals", "activities", "orders", "referrals", "members", "shop"),
    *("checkout", "rewards"),
    *("quizzes", "draws", "games", "tiers"),
    *("challenges", "leaderboards"),
    *("campaigns", "backtests"),
    *("operators", "scheduled", "reads", "operations"),
]

# These decode what this installation wrote: files of its folder, rows, its own contract.
OWN_TEXT = {
    "domain/backtests/activities.py",
    *(
        "embedded/run_file.py",
        "embedded/secrets.py",
        "sandbox_secrets.py",
        "feed/asyncapi.py",
        "api/site.py",
        "store/shop/orders.py",
    ),
    *(
        "flows/games/runs.py",
        "flows/reads/home.py",
        "store/tiers/known_levels.py",
        "store/tiers/movements.py",
    ),
}


class Import(Struct, frozen=True):
    file: Path
    line: int
    module: str

    @property
    def layer(self) -> str:
        """The top package of engage, or the first name of another distribution."""
        first, _, rest = self.module.partition(".")
        return rest.partition(".")[0] or "__init__" if first == "engage" else first

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def layer_of(file: Path) -> str:
    if not file.is_relative_to(ENGAGE):
        return "workers"
    return file.relative_to(ENGAGE).parts[0].removesuffix(".py")


def upwards(layer: str, bottom_up: list[str]) -> list[str]:
    """Return the imports of packages that come later in the order."""
    order = {package: n for n, package in enumerate(bottom_up)}
    wrong = []
    for found in ALL:
        if layer_of(found.file) == layer and found.module.startswith(f"engage.{layer}."):
            package = found.file.relative_to(ENGAGE / layer).parts[0].removesuffix(".py")
            if order[package] < order[found.module.split(".")[2]]:
                wrong.append(str(found))
    return wrong


def imports(file: Path) -> Iterator[Import]:
    """Yield every import of a file, also those inside functions."""
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


ALL = [found for file in SOURCES for found in imports(file)]


def is_ours(found: Import) -> bool:
    return found.module.partition(".")[0] in ("engage", "workers")


def test_every_layer_has_its_place() -> None:
    assert {layer_of(file) for file in SOURCES} <= MAY_IMPORT.keys()


def test_imports_run_one_way() -> None:
    wrong = [
        str(found)
        for found in ALL
        if is_ours(found) and found.layer not in MAY_IMPORT[layer_of(found.file)] | {layer_of(found.file)}
    ]
    assert wrong == []


def test_the_layers_make_no_circle() -> None:
    above: dict[str, set[str]] = dict(MAY_IMPORT)
    while free := [layer for layer, below in above.items() if not below & above.keys()]:
        for layer in free:
            del above[layer]
    assert above == {}


def test_packages_of_the_domain_import_only_those_before_them() -> None:
    assert upwards("domain", DOMAIN_BOTTOM_UP) == []


def test_packages_of_flows_import_only_those_before_them() -> None:
    assert upwards("flows", FLOWS_BOTTOM_UP) == []


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_adapters_do_not_know_each_other(adapter: str) -> None:
    others = ADAPTERS - {adapter}
    assert [str(found) for found in ALL if layer_of(found.file) == adapter and found.layer in others] == []


def test_the_domain_is_pure() -> None:
    foreign = [found for found in ALL if layer_of(found.file) == "domain" and not is_ours(found)]
    assert [str(found) for found in foreign if found.layer not in DOMAIN_MAY_IMPORT] == []


def test_a_session_of_the_feed_knows_no_server() -> None:
    inner = [found for found in ALL if layer_of(found.file) == "feed" and found.file.stem in SANS_IO]
    assert [
        str(found) for found in inner if is_ours(found) and found.layer not in ("feed", "domain", "decoding")
    ] == []
    outside = {"asyncio", "socket", "websockets", "redis", "sqlalchemy", "time"}
    assert [str(found) for found in inner if found.layer in outside] == []


def test_servers_of_our_own_are_for_one_machine_only() -> None:
    assert {layer_of(found.file) for found in ALL if found.module.startswith("engage.embedded")} <= {
        "embedded",
        "cli",
        "bench",
        "torture",
    }


def test_what_must_be_fresh_cannot_read_from_a_standby() -> None:
    users = {
        str(found.file.relative_to(ENGAGE)) for found in ALL if found.module == "engage.runtime.stale_reads"
    }
    assert users == {"flows/reports/reader.py", "flows/operations/audit.py"}
    # What reports read, and why nothing else: docs/availability.md.
    readers = {
        str(found.file.relative_to(ENGAGE)) for found in ALL if found.module == "engage.flows.reports.reader"
    }
    campaigns = {"flows/campaigns/report.py", "flows/campaigns/overview.py"}
    assert readers == {"flows/reports/reports.py", *campaigns}
    named = [file for file in SOURCES if "reports_database_url" in file.read_text(encoding="utf-8")]
    assert {str(file.relative_to(ENGAGE)) for file in named} == {"runtime/stale_reads.py", "settings.py"}
    opened = [file for file in SOURCES if "standby=True" in file.read_text(encoding="utf-8")]
    assert [str(file.relative_to(ENGAGE)) for file in opened] == ["runtime/stale_reads.py"]


def test_text_from_outside_is_decoded_in_one_place() -> None:
    """All else that decodes JSON reads what this installation wrote itself."""
    decoding = [file for file in SOURCES if layer_of(file) != "decoding" and _decodes(file)]
    found = {str(file.relative_to(ENGAGE)) for file in decoding if file.is_relative_to(ENGAGE)}
    assert {name for name in found if not name.startswith(("bench/", "torture/"))} == OWN_TEXT
    assert [
        str(found) for found in ALL if found.module == "tomllib" and layer_of(found.file) != "decoding"
    ] == []


def _decodes(file: Path) -> bool:
    """Return whether a file calls `msgspec.json.decode`, the json module, or a Decoder of its own."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and "msgspec.json.Decoder(" in ast.unparse(node)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    decoders = {"msgspec.json.decode", "json.load", "json.loads"} | {f"{name}.decode" for name in names}
    return not calls.isdisjoint(decoders)


def test_time_is_read_in_one_place() -> None:
    wrong = [found for file in SOURCES if file != ENGAGE / "clock.py" for found in reads_of_time(file)]
    assert wrong == []
    assert [str(found) for found in ALL if found.module == "time" and _takes_names(found)] == []


def _takes_names(found: Import) -> bool:
    """Recognise `from time import …`, which would hide the names of TIME_READERS."""
    line = found.file.read_text(encoding="utf-8").splitlines()[found.line - 1]
    return line.lstrip().startswith("from")
