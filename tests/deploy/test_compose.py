"""docker-compose.yml, as `docker compose` reads it: what runs, with which rights, and who can reach it."""

import ipaddress
import re
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from engage.api.server.granian_server import DRAIN_S
from engage.embedded import valkey as vk
from engage.embedded.child_process import ProcessSpec, start
from engage.feed.session import Timeouts
from engage.metrics.numbers import Counter
from engage.metrics.port import Page, open_port
from engage.settings import SECRETS, Settings, from_environment, require_pepper, values_of, variable_of
from tests.support.compose import PROGRAM, ROOT, Service, composed, is_healthy, services
from tests.support.haproxy import PROGRAM as HAPROXY
from tests.support.ports import HOST, server_port
from workers.run import STOP_S

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="docker-compose is not installed")

OVERLAYS = ("payouts", "sign-in")
ENGAGE = ("migrate", "api", "feed", "worker")
VALKEYS = ("state", "queue", "topics")
SECRETS_OF_OVERLAYS = ("momo_subscription_key", "momo_user", "momo_key", "oidc_client_secret")
PARTS = {*ENGAGE, *VALKEYS, "proxy", "postgres", "prometheus", "grafana"}


def each_service() -> Iterator[tuple[str, Service]]:
    yield from services(*OVERLAYS).items()


def test_every_part_runs_two_apis_and_two_workers_among_them() -> None:
    found = services()
    assert set(found) == PARTS
    replicas = {name: service["deploy"].get("replicas", 1) for name, service in found.items()}
    assert {name for name, count in replicas.items() if count == 2} == {"api", "worker"}
    assert {found[name]["command"][0] for name in ENGAGE} == set(ENGAGE)


def test_no_part_has_more_rights_than_it_needs() -> None:
    for name, service in each_service():
        uid, _, gid = service["user"].partition(":")
        assert int(uid) > 0, name
        assert gid.isdigit(), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory", "pids"}, name


def test_only_the_proxy_is_published_and_only_for_this_machine() -> None:
    published = [
        (name, port["host_ip"], port["target"])
        for name, service in each_service()
        for port in service.get("ports", [])
    ]
    assert published == [("proxy", "127.0.0.1", 8080), ("proxy", "127.0.0.1", 3000)]


def test_who_has_nothing_to_do_with_each_other_shares_no_network() -> None:
    members: dict[str, set[str]] = {}
    for name, service in each_service():
        for network in service["networks"]:
            members.setdefault(network, set()).add(name)
    assert members == {
        "edge": {"proxy"},
        "front": {"proxy", "api", "feed"},
        "servers": {*ENGAGE, *VALKEYS, "postgres"},
        "metrics": {"api", "feed", "worker", "prometheus"},
        "screens": {"proxy", "prometheus", "grafana"},
        "out": {"api", "feed", "worker"},
    }
    with_a_way_out = {name for name, network in composed()["networks"].items() if not network.get("internal")}
    assert with_a_way_out == {"edge", "out"}


def test_the_proxy_is_trusted_to_name_clients() -> None:
    (front,) = composed()["networks"]["front"]["ipam"]["config"]
    trusted = services()["api"]["environment"]["ENGAGE_TRUSTED_PROXIES"]
    assert ipaddress.ip_network(front["subnet"]) == ipaddress.ip_network(trusted)


def test_images_are_of_one_version() -> None:
    images = {name: service["image"] for name, service in services().items() if "build" not in service}
    assert [
        name for name, image in images.items() if not re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image)
    ] == []


def test_files_that_are_mounted_exist() -> None:
    for name, service in each_service():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert volume["read_only"], name
                assert Path(volume["source"]).is_dir(), (name, volume["source"])
                assert ROOT / "deploy" in Path(volume["source"]).parents, name
    # A program finds what its command or settings name there.
    assert set(_named_in(services()["proxy"])) == {"haproxy/haproxy.cfg", "haproxy/grafana.cfg"}
    assert set(_named_in(services()["prometheus"])) == {"prometheus/prometheus.yml"}
    assert set(_named_in(services()["grafana"])) == {"grafana/provisioning", "grafana/engage.json"}


def _named_in(service: Service) -> Iterator[str]:
    """Return the paths under deploy/ that a service's command and settings name. Each exists."""
    (bind,) = (volume for volume in service["volumes"] if volume["type"] == "bind")
    for text in (*(service["command"] or ()), *map(str, service.get("environment", {}).values())):
        for path in re.findall(rf"{bind['target']}/([\w./-]+)", text):
            assert (Path(bind["source"]) / path).exists(), path
            yield f"{Path(bind['source']).name}/{path}"


def test_prometheus_finds_each_process_and_grafana_finds_prometheus() -> None:
    """By their names, which are the same on Kubernetes."""
    deploy = ROOT / "deploy"
    (scraped,) = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (names,) = scraped["dns_sd_configs"]
    assert names["names"] == ["api", "feed", "worker"]
    for name in names["names"]:
        service = services()[name]
        assert "metrics" in service["networks"]
        assert service["environment"]["ENGAGE_OPERATIONS_PORT"] == str(names["port"])
    provisioning = deploy / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "engage.yaml").read_text())["providers"]
    (mounted,) = (v for v in services()["grafana"]["volumes"] if v["type"] == "bind")
    assert provider["options"]["path"] == mounted["target"]


def test_each_setting_exists() -> None:
    known = {variable_of(name) for name in Settings.__struct_fields__} | {
        f"{variable_of(name)}_FILE" for name in SECRETS
    }
    for name in ENGAGE:
        assert set(services(*OVERLAYS)[name]["environment"]) <= known, name


def test_no_secret_is_in_the_environment() -> None:
    secret = {variable_of(name) for name in SECRETS}
    for name, service in each_service():
        environment = service.get("environment", {})
        assert not secret & set(environment), name
        words = [value for key, value in environment.items() if re.search("PASSWORD|SECRET|KEY", key)]
        assert [word for word in words if not str(word).startswith("/run/secrets/")] == [], name


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that deploy/secrets.sh makes."""
    folder = tmp_path_factory.mktemp("deployment")
    _make_secrets(folder)
    return folder / "secrets"


def _make_secrets(folder: Path) -> None:
    (folder / "deploy").mkdir(exist_ok=True)
    script = folder / "deploy" / "secrets.sh"
    script.write_bytes((ROOT / "deploy" / "secrets.sh").read_bytes())
    subprocess.run(["/bin/sh", str(script)], check=True)


def test_secrets_are_made_once_in_a_closed_folder(tmp_path: Path) -> None:
    _make_secrets(tmp_path)
    folder = tmp_path / "secrets"
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # The users in the containers are others.
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in made} == {0o644}
    (folder / "grafana_password").unlink()
    _make_secrets(tmp_path)
    again = {file.name: file.read_text() for file in folder.iterdir()}
    assert again.pop("grafana_password") != made.pop("grafana_password")
    assert again == made


def test_the_secrets_that_are_mounted_are_those_that_are_made(secrets: Path) -> None:
    declared = composed(*OVERLAYS)["secrets"]
    asked_for = {
        ROOT / "secrets" / file.name
        for file in (*secrets.iterdir(), *map(Path, SECRETS_OF_OVERLAYS))
        if file.name != "valkey_password"
    }
    assert {Path(secret["file"]) for secret in declared.values()} == asked_for
    used = {secret["source"] for _, service in each_service() for secret in service.get("secrets", [])}
    assert used == set(declared)


def _settings(name: str, secrets: Path, folder: Path, *overlays: str) -> Settings:
    """Return what a part reads from its environment and from the files that are mounted for it."""
    service = services(*overlays)[name]
    for secret in service["secrets"]:
        made = secrets / secret["source"]
        content = made.read_text() if made.exists() else f"{secret['source']} of a provider\n"
        (folder / secret["source"]).write_text(content)
    environment = {
        key: value.replace("/run/secrets", str(folder)) for key, value in service["environment"].items()
    }
    return from_environment(environment)


@pytest.mark.parametrize("name", ENGAGE)
def test_each_part_starts_with_its_settings(name: str, secrets: Path, tmp_path: Path) -> None:
    settings = _settings(name, secrets, tmp_path)
    require_pepper(settings)
    password = (secrets / "postgres_password").read_text().strip()
    assert settings.database_url == f"postgresql+asyncpg://engage:{password}@postgres:5432/engage"
    assert (settings.api_host, settings.feed_host, settings.operations_host) == ("0.0.0.0",) * 3
    assert settings.payouts == ""


def test_withdrawals_are_switched_on_by_a_file_and_secrets(secrets: Path, tmp_path: Path) -> None:
    for name in ("api", "worker"):
        settings = _settings(name, secrets, tmp_path, "payouts")
        assert (settings.payouts, settings.momo_environment) == ("momo", "mtnbenin")
        secret = (settings.momo_subscription_key, settings.momo_user, settings.momo_key)
        assert [values_of(text)[0].partition(" ")[0] for text in secret] == list(SECRETS_OF_OVERLAYS[:3])


def test_operators_sign_in_with_a_provider_by_a_file_and_a_secret(secrets: Path, tmp_path: Path) -> None:
    settings = _settings("api", secrets, tmp_path, "sign-in")
    assert settings.has_provider
    assert settings.oidc_client_secret == "oidc_client_secret of a provider"


@pytest.fixture(scope="module")
async def valkey(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """A Valkey with the arguments of the queue, on a port of its own."""
    folder, port = tmp_path_factory.mktemp("valkey"), server_port()
    program, *arguments = services()["queue"]["command"]
    assert program == "valkey-server"
    arguments = [str(secrets / "valkey_users") if "/run/" in word else word for word in arguments]

    async def answers() -> bool:
        try:
            async with Redis(host=HOST, port=port) as client:
                return bool(await client.ping())
        except RedisError:
            return False

    command = [str(vk.program()), *arguments, "--port", str(port), "--bind", HOST, "--dir", str(folder)]
    child = await start(
        ProcessSpec(name="valkey", command=command, log=folder / "log", directory=folder, ready=answers)
    )
    try:
        await child.wait_until_ready()
        yield port
    finally:
        await child.stop()


async def test_valkey_is_for_engage_alone_and_answers_health_checks(valkey: int, secrets: Path) -> None:
    url = (secrets / "queue_url").read_text().strip().replace("@queue:6379", f"@{HOST}:{valkey}")
    async with Redis.from_url(url) as engage:
        assert await engage.set("key", "value")
        assert (await engage.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    async with Redis(host=HOST, port=valkey) as stranger:
        assert await stranger.ping()
        for command in ("GET key", "CONFIG GET *", "SUBSCRIBE topic", "FUNCTION LIST"):
            with pytest.raises(NoPermissionError):
                await stranger.execute_command(*command.split())  # type: ignore[no-untyped-call]
    with pytest.raises(AuthenticationError):
        async with Redis(host=HOST, port=valkey, username="engage", password="engage") as stranger:
            await stranger.ping()


def test_each_part_but_the_migration_has_a_health_check_of_its_image() -> None:
    checks = {name: service["healthcheck"] for name, service in services().items()}
    assert [name for name, check in checks.items() if check.get("disable")] == ["migrate"]
    programs = {name: check["test"][1] for name, check in checks.items() if "test" in check}
    assert programs == {
        **dict.fromkeys(("api", "feed", "worker"), "python"),
        **dict.fromkeys(VALKEYS, "valkey-cli"),
        **dict.fromkeys(("proxy", "grafana", "prometheus"), "wget"),  # That of BusyBox.
        "postgres": "pg_isready",
    }


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
async def test_a_part_is_healthy_while_it_says_so(status: int, healthy: bool) -> None:
    async def live() -> Page:
        return Page(b"{}", status=status)

    async with open_port(HOST, 0, {"/health/live": live}, Counter("requests", "", ("status",))) as port:
        assert await is_healthy(port) == healthy


async def test_a_part_that_does_not_listen_is_not_healthy() -> None:
    assert not await is_healthy(server_port())


def seconds(text: str) -> int:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text).groups("0")  # type: ignore[union-attr]
    return 60 * int(minutes) + int(rest)


def test_each_part_has_the_time_that_it_needs_to_end() -> None:
    time = {name: seconds(service.get("stop_grace_period", "10s")) for name, service in services().items()}
    proxy = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    (report,) = re.findall(r"timeout server (\d+)s", proxy)
    (hard_stop,) = re.findall(r"hard-stop-after (\d+)s", proxy)
    assert time["api"] >= int(report) + 2 * DRAIN_S
    assert time["feed"] > 2 * Timeouts().close_s
    assert time["worker"] > 2 * STOP_S
    assert time["proxy"] > int(hard_stop)


def test_the_tables_are_up_to_date_before_a_part_starts() -> None:
    for name in ("api", "feed", "worker"):
        assert services()[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    command, wait, wait_s = services()["migrate"]["command"]
    assert (command, wait) == ("migrate", "--wait")
    assert int(wait_s) >= seconds(services()["postgres"]["healthcheck"]["start_period"])


def test_the_proxy_has_the_limits_of_its_file() -> None:
    presets = dict(re.findall(r"presetenv (\S+) (\S+)", (ROOT / "deploy/haproxy/haproxy.cfg").read_text()))
    given = services()["proxy"]["environment"]
    assert given == {name: presets[name] for name in given}
    assert {presets["ENGAGE_PROXY_API"], presets["ENGAGE_PROXY_FEED"]} == {"api:8080", "feed:8081"}


@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
def test_the_proxy_accepts_its_files() -> None:
    assert HAPROXY is not None
    service = services()["proxy"]
    (mounted,) = service["volumes"]
    program, *arguments = service["command"]
    assert program == "haproxy"
    files = [word.replace(mounted["target"], mounted["source"]) for word in arguments]
    checked = subprocess.run([HAPROXY, "-c", *files], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_image_has_the_user_of_its_containers() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)
    assert {services()[name]["user"] for name in ENGAGE} == {user}
    uid, gid = user.split(":")
    assert f"--uid {uid} --gid {gid}" in dockerfile


def test_secrets_are_never_committed() -> None:
    assert "secrets/" in (ROOT / ".gitignore").read_text().split()
    # Nor do they get into the image: everything is left out that is not named.
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    assert "!secrets" not in ignored
