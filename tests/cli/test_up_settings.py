"""The processes of `engage up` get every setting of its environment but those that the sandbox has itself."""

from pathlib import Path

import pytest

from engage.cli.up import DECIDED
from engage.settings import (
    SECRETS,
    VARIABLES,
    Settings,
    SettingsError,
    from_environment,
    to_environment,
    variable_of,
    with_environment,
)

# Of other types than text, or checked.
VALUES = {
    "reports_max_age_s": "7",
    "jwt_max_age_s": "8",
    "jwks_max_age_s": "9",
    "traces_ratio": "0.5",
    "forwarded_header": "forwarded",
    "oidc_issuer": "https://sign-in.example",
}
PASSED = [name for name in VARIABLES if name not in DECIDED]


@pytest.fixture
def sandbox(tmp_path: Path) -> Settings:
    """Settings of a sandbox, as its folder and the command decide them."""
    return Settings(
        database_url="postgresql+asyncpg://own/engage",
        state_url="redis://own/0",
        queue_url="redis://own/1",
        topics_url="redis://own/0",
        pepper="a-pepper-of-its-own",
        jwks=str(tmp_path / "jwks.json"),
        sandbox=tmp_path / "sandbox.json",
        api_port=9000,
    )


@pytest.mark.parametrize("name", PASSED)
def test_a_setting_of_the_environment_reaches_the_processes(sandbox: Settings, name: str) -> None:
    value = VALUES.get(name, "something")
    settings = with_environment(sandbox, fixed=DECIDED, environment={variable_of(name): value})
    assert to_environment(settings) == to_environment(sandbox) | {variable_of(name): value}


def test_the_sandbox_keeps_its_servers_secrets_addresses_and_payouts(sandbox: Settings) -> None:
    others = {variable_of(name): "1" for name in DECIDED}
    assert with_environment(sandbox, fixed=DECIDED, environment=others) == sandbox
    assert {"database_url", "reports_database_url", "sandbox", "pepper", "payouts"} <= set(DECIDED)


def test_a_secret_in_a_file_stays_there(sandbox: Settings, tmp_path: Path) -> None:
    (name,) = set(SECRETS) - set(DECIDED)
    file = tmp_path / "secret"
    file.write_text("a secret")
    settings = with_environment(sandbox, fixed=DECIDED, environment={f"{variable_of(name)}_FILE": str(file)})
    environment = to_environment(settings)
    assert environment[f"{variable_of(name)}_FILE"] == str(file)
    assert "a secret" not in environment.values()
    assert getattr(from_environment(environment), name) == "a secret"


def test_a_setting_that_does_not_fit_is_refused(sandbox: Settings) -> None:
    with pytest.raises(SettingsError, match="traces_ratio"):
        with_environment(sandbox, fixed=DECIDED, environment={"ENGAGE_TRACES_RATIO": "much"})
