"""Secrets in files are read again when they change, and what does not fit changes nothing."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engage.domain.refusals import Unavailable
from engage.live_settings import LiveSettings
from engage.logs.fields import Cleaner
from engage.logs.pseudonyms import Pseudonyms
from engage.settings import SettingsError, from_environment, to_environment
from tests.support.rotation import write_secret

OLD, NEW = "an-old-secret-of-enough-letters", "a-new-secret-of-enough-letters"
SERVERS = {f"ENGAGE_{name}_URL": "redis://ana:1@host/0" for name in ("DATABASE", "STATE", "QUEUE", "TOPICS")}


def live_with(name: str, path: Path) -> LiveSettings:
    settings = from_environment(
        {key: value for key, value in SERVERS.items() if key != name} | {f"{name}_FILE": str(path)}
    )
    return LiveSettings(settings)


async def test_a_changed_file_is_in_force_at_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, OLD)
    live, seen = live_with("ENGAGE_MOMO_KEY", path), []
    live.listen("momo_key", lambda: seen.append(live.now.momo_key))
    await live.refresh()
    write_secret(path, NEW, OLD)
    assert live.now.momo_key == OLD
    await live.refresh()
    assert live.now.momo_key == f"{NEW}\n{OLD}"
    write_secret(path, NEW)
    assert live.reader("momo_key")() == NEW
    assert seen == [OLD, f"{NEW}\n{OLD}", NEW]


async def test_the_log_says_which_secret_was_read_and_not_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, OLD)
    live = live_with("ENGAGE_OIDC_CLIENT_SECRET", path)
    write_secret(path, NEW, OLD)
    with capture_logs() as lines:
        await live.refresh()
        await live.refresh()
    clean = Cleaner(Pseudonyms(""))
    assert [clean(None, "", line) for line in lines] == [
        {
            "event": "a secret was read again",
            "setting": "ENGAGE_OIDC_CLIENT_SECRET",
            "values": 2,
            "log_level": "…",
        }
    ]


@pytest.mark.parametrize("content", ["", "\n \n", "short", "\xff", None])
async def test_a_file_that_does_not_fit_changes_nothing_and_is_a_problem(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "pepper"
    write_secret(path, OLD)
    live = live_with("ENGAGE_PEPPER", path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content.encode("latin-1"))
    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await live.refresh()
    assert live.now.pepper == OLD
    assert [line["event"] for line in lines] == ["a secret is not read again"]
    write_secret(path, NEW)
    await live.refresh()
    assert live.now.pepper == NEW


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("redis://ana:2@host/0", True),
        ("redis://eva:2@host/0\nredis://ana:1@host/0", True),
        ("redis://ana:1@other/0", False),
        ("redis://ana:2@host/1", False),
        ("rediss://ana:2@host/0", False),
    ],
)
async def test_of_a_url_only_user_and_password_change(tmp_path: Path, url: str, fits: bool) -> None:
    path = tmp_path / "url"
    write_secret(path, "redis://ana:1@host/0")
    live = live_with("ENGAGE_STATE_URL", path)
    write_secret(path, url)
    assert live.reader("state_url")() == (url if fits else "redis://ana:1@host/0")


def test_child_processes_read_the_same_files(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, OLD)
    settings = live_with("ENGAGE_PEPPER", path).now
    environment = to_environment(settings)
    assert environment["ENGAGE_PEPPER_FILE"] == str(path)
    assert OLD not in environment.values()
    assert from_environment(environment) == settings


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ENGAGE_MOMO_KEY": "a", "ENGAGE_MOMO_KEY_FILE": "/nowhere"}, "set twice"),
        ({"ENGAGE_MOMO_KEY_FILE": "/nowhere"}, "ENGAGE_MOMO_KEY_FILE: /nowhere cannot be read"),
    ],
)
def test_a_process_does_not_begin_with_a_doubtful_secret(variables: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        from_environment(SERVERS | variables)
