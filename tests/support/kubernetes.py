"""The manifests of deploy/kubernetes, as kustomize makes them. No cluster is needed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
KUBECTL = shutil.which("kubectl")

COMPONENT = "app.kubernetes.io/component"

Manifest = dict[str, Any]


@lru_cache
def manifests(folder: Path = KUBERNETES / "example") -> list[Manifest]:
    assert KUBECTL is not None
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def with_components(folder: Path, *names: str, settings: dict[str, str]) -> list[Manifest]:
    """Make an overlay of the example in `folder`, with components of deploy/kubernetes and more settings."""
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(KUBERNETES / "example", folder)],
        "components": [os.path.relpath(KUBERNETES / name, folder) for name in names],
        "configMapGenerator": [
            {
                "name": "settings",
                "namespace": "engage",
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in settings.items()],
            }
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return manifests(folder)


def of_kind(found: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    """Return the manifests of these kinds by name. Names of one kind differ."""
    return {manifest["metadata"]["name"]: manifest for manifest in found if manifest["kind"] in kinds}


def pods(found: list[Manifest]) -> dict[str, Manifest]:
    """Return the pod templates by the name of what makes them."""
    makers = of_kind(found, "Deployment", "StatefulSet", "Job")
    return {name: maker["spec"]["template"] for name, maker in makers.items()}


def container(pod: Manifest) -> Manifest:
    """Return the container of a pod, of which there is one."""
    (only,) = pod["spec"]["containers"]
    found: Manifest = only
    return found


def files_of(pod: Manifest, source: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each Secret or ConfigMap of a pod, a key, and the path at which it is mounted."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    for mount in container(pod).get("volumeMounts", []):
        volume = volumes.get(mount["name"], {}).get(source)
        if volume is not None:
            name = volume.get("secretName", volume.get("name"))
            for item in volume.get("items", [{"key": "", "path": ""}]):
                yield name, item["key"], f"{mount['mountPath']}/{item['path']}"
