"""The layout of the API: shared packages know no feature, and features do not know each other."""

import ast
from pathlib import Path

import engage.api

ROOT = Path(engage.api.__file__).parent
SHARED = {"http", "contract"}
FEATURES = {path.parent.name for path in ROOT.glob("*/*.py") if path.stem in ("mobile", "shop", "admin")}


def imported(package: str) -> set[str]:
    """Return the packages and modules of the API that a package imports, without itself."""
    trees = [ast.parse(file.read_text("utf-8")) for file in (ROOT / package).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {module.split(".")[2] for module in modules if module.startswith("engage.api.")} - {package}


def test_shared_packages_know_no_feature() -> None:
    assert imported("http") == set()
    assert imported("contract") == {"http"}


def test_features_know_only_shared_packages() -> None:
    assert len(FEATURES) > 5
    assert {feature: imported(feature) - SHARED for feature in FEATURES} == {
        feature: set() for feature in FEATURES
    }


def test_a_feature_has_a_module_for_each_kind_of_caller() -> None:
    modules = {path.stem for feature in FEATURES for path in (ROOT / feature).glob("*.py")}
    assert modules <= {"__init__", "mobile", "shop", "admin"}
