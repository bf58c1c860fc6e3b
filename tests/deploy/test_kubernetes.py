"""The manifests of deploy/kubernetes: valid, of few rights, and with the time that each part needs to end."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engage.api.server.granian_server import DRAIN_S
from engage.feed.session import Timeouts
from engage.settings import SECRETS, Settings, from_environment, require_pepper, variable_of
from tests.support import compose
from tests.support.kubernetes import (
    COMPONENT,
    KUBECTL,
    ROOT,
    Manifest,
    container,
    files_of,
    manifests,
    of_kind,
    pods,
    with_components,
)
from workers.run import STOP_S

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

ENGAGE = {"migrate", "api", "feed", "worker"}
SERVERS = {"postgres", "state", "queue", "topics"}
PROXY = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()

# The oldest and the newest release of Kubernetes that are tried. 1.30 knows `sleep` before a stop.
RELEASES = ("1.30", "1.37")


@pytest.fixture(scope="module")
def schemas() -> Any:
    """The validator, with each of its files read once."""
    from functools import lru_cache

    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validator.utils, "schema_contents", lru_cache(validator.utils.schema_contents))
        yield validator


@pytest.mark.parametrize("release", RELEASES)
def test_each_manifest_fits_the_schema_of_its_kind(schemas: Any, release: str) -> None:
    for manifest in manifests():
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        try:
            schemas.validate(manifest, release, strict=True)
        except schemas.ValidationError as error:
            pytest.fail(f"{name}: {'/'.join(map(str, error.path))}: {error.message}")


def test_a_field_that_does_not_exist_is_noticed(schemas: Any) -> None:
    pod = container(pods(manifests())["api"])
    wrong = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "api"},
        "spec": {"containers": [pod | {"livenes": 1}]},
    }
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, RELEASES[-1], strict=True)


def test_the_parts_are_those_of_the_compose_file() -> None:
    parts = {*ENGAGE, *SERVERS, "proxy", "prometheus", "grafana"}
    assert set(pods(manifests())) == parts
    for name, pod in pods(manifests()).items():
        assert pod["metadata"]["labels"][COMPONENT] == name


@pytest.mark.skipif(compose.PROGRAM is None, reason="docker-compose is not installed")
def test_images_arguments_and_secrets_are_those_of_the_compose_file() -> None:
    for name, pod in pods(manifests()).items():
        service, own = compose.services()[name], container(pod)
        if name in ENGAGE:
            assert own["image"] == "shop/engage:0.1.0"
        else:
            assert own["image"] == service["image"], name
        assert pod["spec"]["securityContext"]["runAsUser"] == int(service["user"].partition(":")[0]), name
        other_folder = [word.replace("/run/secrets/engage/", "/run/secrets/") for word in own.get("args", [])]
        if name != "proxy":  # It has Grafana behind it there.
            assert other_folder == (service["command"] or []), name
        keys = {key for _, key, _ in files_of(pod, "secret")}
        assert keys == {secret["source"] for secret in service.get("secrets", [])}, name


def test_pods_are_restricted() -> None:
    (namespace,) = of_kind(manifests(), "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods(manifests()).items():
        spec, own = pod["spec"], container(pod)
        assert own["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        rights = spec["securityContext"]
        assert rights["runAsNonRoot"] is True, name
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert rights["runAsUser"] > 0, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, f"{name}: they would look like settings"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"secret", "configMap", "emptyDir"}, name
        assert set(own["resources"]["requests"]) == {"cpu", "memory"}, name
        assert "memory" in own["resources"]["limits"], name


def test_each_part_but_the_migration_is_probed_on_a_port_of_its_own() -> None:
    for name, pod in pods(manifests()).items():
        own = container(pod)
        probes = {key: probe for key, probe in own.items() if key.endswith("Probe")}
        if name == "migrate":
            assert probes == {}
            continue
        assert {"livenessProbe", "readinessProbe"} <= set(probes), name
        ports = {port["name"] for port in own["ports"]}
        asked = {probe["httpGet"]["port"] for probe in probes.values() if "httpGet" in probe}
        assert asked <= ports, name
    for name in ("api", "feed", "worker"):
        own = container(pods(manifests())[name])
        assert own["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "operations"}
        assert own["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "operations"}
        (operations,) = (port for port in own["ports"] if port["name"] == "operations")
        assert settings_of(name)["ENGAGE_OPERATIONS_PORT"] == str(operations["containerPort"])


def settings_of(name: str, found: list[Manifest] | None = None) -> dict[str, str]:
    """Return the environment of a part."""
    found = found or manifests()
    own = container(pods(found)[name])
    environment: dict[str, str] = {}
    for source in own.get("envFrom", []):
        environment |= of_kind(found, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    return environment | {
        variable["name"]: variable["value"] for variable in own["env"] if "value" in variable
    }


def test_each_setting_exists() -> None:
    known = {variable_of(name) for name in Settings.__struct_fields__} | {
        f"{variable_of(name)}_FILE" for name in SECRETS
    }
    for name in ENGAGE:
        assert set(settings_of(name)) <= known, name


def read_settings(name: str, found: list[Manifest], folder: Path) -> Settings:
    """Return what a part reads from its environment and from the files that are mounted for it."""
    mounted = {}
    for secret, key, path in files_of(pods(found)[name], "secret"):
        assert secret == "engage"
        (folder / key).write_text(f"a secret named {key}\n")
        mounted[path] = str(folder / key)
    return from_environment(
        {variable: mounted.get(value, value) for variable, value in settings_of(name, found).items()}
    )


@pytest.mark.parametrize("name", sorted(ENGAGE))
def test_each_part_starts_with_its_settings(name: str, tmp_path: Path) -> None:
    settings = read_settings(name, manifests(), tmp_path)
    require_pepper(settings)
    assert settings.database_url == "a secret named database_url"
    assert settings.payouts == ""


def test_withdrawals_and_sign_in_are_components(tmp_path: Path) -> None:
    more = {name: value for name, value in compose.ANSWERS.items() if name != "ENGAGE_JWKS"}
    (tmp_path / "overlay").mkdir()
    found = with_components(tmp_path / "overlay", "payouts", "sign-in", settings=more)
    for name in ("api", "worker"):
        settings = read_settings(name, found, tmp_path)
        assert (settings.payouts, settings.momo_key) == ("momo", "a secret named momo_key")
        assert settings.momo_user == "a secret named momo_user"
        assert settings.momo_subscription_key == "a secret named momo_subscription_key"
    api = read_settings("api", found, tmp_path)
    assert api.has_provider
    assert api.oidc_client_secret == "a secret named oidc_client_secret"


def test_files_that_are_mounted_are_in_the_manifests() -> None:
    maps = of_kind(manifests(), "ConfigMap")
    for name, pod in pods(manifests()).items():
        for found, key, _ in files_of(pod, "configMap"):
            assert key in {"", *maps[found]["data"]}, name
    grafana = {path for _, _, path in files_of(pods(manifests())["grafana"], "configMap")}
    assert {variable["value"] for variable in container(pods(manifests())["grafana"])["env"]} >= {
        "/etc/engage-grafana/engage.json",
        "/etc/engage-grafana/provisioning",
    }
    assert "/etc/engage-grafana/engage.json" in grafana
    assert {Path(path).parent.name for path in grafana} >= {"datasources", "dashboards"}


def test_each_part_has_the_time_that_it_needs_to_end() -> None:
    (report,) = re.findall(r"timeout server (\d+)s", PROXY)
    (hard_stop,) = re.findall(r"hard-stop-after (\d+)s", PROXY)
    needs = {
        "api": int(report) + 2 * DRAIN_S,
        "feed": 2 * Timeouts().close_s,
        "worker": 2 * STOP_S,
        "proxy": int(hard_stop),
    }
    for name, seconds in needs.items():
        pod = pods(manifests())[name]
        before = container(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["spec"]["terminationGracePeriodSeconds"] > before + seconds, name


def selected(selector: dict[str, Any]) -> set[str]:
    """Return the parts that a selector means. It names them all: none is left that does not exist."""
    if not selector:
        return set(pods(manifests()))
    named = set(selector.get("matchLabels", {}).items()) | {
        (expression["key"], value)
        for expression in selector.get("matchExpressions", [])
        for value in expression["values"]
    }
    assert {key for key, _ in named} == {COMPONENT}
    return {name for _, name in named}


def test_services_and_budgets_are_for_parts_that_exist() -> None:
    for name, service in of_kind(manifests(), "Service").items():
        assert service["spec"]["selector"][COMPONENT] == name
        ports = {port["name"]: port["containerPort"] for port in container(pods(manifests())[name])["ports"]}
        for port in service["spec"]["ports"]:
            assert port.get("targetPort", port["port"]) in {*ports, *ports.values()}, name
    for name, budget in of_kind(manifests(), "PodDisruptionBudget").items():
        assert selected(budget["spec"]["selector"]) == {name}
        assert budget["spec"]["maxUnavailable"] == 1
    # What has several pods.
    assert set(of_kind(manifests(), "PodDisruptionBudget")) == {"api", "feed", "worker", "proxy"}


def test_the_proxy_finds_as_many_pods_as_there_may_be() -> None:
    environment = {v["name"]: v.get("value", "") for v in container(pods(manifests())["proxy"])["env"]}
    for name, port in (("api", "8080"), ("feed", "8081")):
        most = int(re.findall(rf"server-template {name} 1-(\d+)", PROXY)[0])
        assert environment[f"ENGAGE_PROXY_{name.upper()}"] == f"{name}.$(NAMESPACE).svc.cluster.local:{port}"
        service = of_kind(manifests(), "Service")[name]["spec"]
        assert service["clusterIP"] == "None", "a name has the addresses of all pods"
        assert service["publishNotReadyAddresses"], "the proxy looks at them itself"
        deployment = of_kind(manifests(), "Deployment")[name]["spec"]
        assert deployment.get("replicas", 0) <= most
    (autoscaler,) = of_kind(manifests(), "HorizontalPodAutoscaler").values()
    assert autoscaler["spec"]["maxReplicas"] <= int(re.findall(r"server-template api 1-(\d+)", PROXY)[0])
    assert "replicas" not in of_kind(manifests(), "Deployment")["api"]["spec"], (
        "or each deployment resets them"
    )


def policies() -> Iterator[Manifest]:
    for policy in of_kind(manifests(), "NetworkPolicy").values():
        yield policy["spec"]


def allowed(direction: str, peers: str) -> set[tuple[str, str, int]]:
    """Return what policies let in, or out: a part, its peer within the namespace, and the port."""
    return {
        (name, other, port["port"])
        for spec in policies()
        for rule in spec.get(direction, [])
        for peer in rule.get(peers, [])
        if "podSelector" in peer
        for name in selected(spec["podSelector"])
        for other in selected(peer["podSelector"])
        for port in rule["ports"]
    }


def test_who_may_send_is_let_in_and_nobody_else_is() -> None:
    in_ = {(other, name, port) for name, other, port in allowed("ingress", "from")}
    assert in_ == allowed("egress", "to")
    to_servers = {("migrate", "postgres", 5432)} | {
        (part, server, 5432 if server == "postgres" else 6379)
        for part in ("api", "feed", "worker")
        for server in SERVERS
    }
    to_metrics = {("prometheus", part, 9100) for part in ("api", "feed", "worker")}
    others = {("proxy", "api", 8080), ("proxy", "feed", 8081), ("grafana", "prometheus", 9090)}
    assert in_ == to_servers | to_metrics | others


def test_everything_else_is_closed() -> None:
    (default,) = (spec for spec in policies() if spec["podSelector"] == {})
    assert sorted(default["policyTypes"]) == ["Egress", "Ingress"]
    assert "ingress" not in default
    (names,) = default["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    from_anywhere = [spec for spec in policies() for rule in spec.get("ingress", []) if "from" not in rule]
    assert [selected(spec["podSelector"]) for spec in from_anywhere] == [{"proxy"}]
    anywhere = [(spec, rule) for spec in policies() for rule in spec.get("egress", []) if "to" not in rule]
    assert [(selected(spec["podSelector"]), rule["ports"]) for spec, rule in anywhere] == [
        ({"api", "feed", "worker"}, [{"port": 443}])
    ]
