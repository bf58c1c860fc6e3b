"""The deployment of docker-compose.yml as the real `docker compose` reads it. No engine is needed."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = shutil.which("docker-compose", path=os.pathsep.join((str(Path(sys.executable).parent), os.defpath)))

# What the files ask an operator for.
ANSWERS = {
    "ENGAGE_JWKS": "https://shop.example/jwks.json",
    "ENGAGE_MOMO_URL": "https://momo.example",
    "ENGAGE_MOMO_ENVIRONMENT": "mtnbenin",
    "ENGAGE_OIDC_ISSUER": "https://identity.example",
    "ENGAGE_OIDC_CLIENT_ID": "console",
    "ENGAGE_OIDC_REDIRECT_URL": "https://engage.example/console/provider/answer",
}

Service = dict[str, Any]


@lru_cache
def composed(*overlays: str) -> dict[str, Any]:
    """Return the whole deployment, with overlays of deploy/compose."""
    assert PROGRAM is not None
    files = ["docker-compose.yml", *(f"deploy/compose/{name}.yml" for name in overlays)]
    named = [word for file in files for word in ("-f", str(ROOT / file))]
    done = subprocess.run(
        [PROGRAM, *named, "config", "--format", "json"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**ANSWERS, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def services(*overlays: str) -> dict[str, Service]:
    found: dict[str, Service] = composed(*overlays)["services"]
    return found


async def is_healthy(port: int) -> bool:
    """Run the health check of a part of engage, whose operations port is another one here."""
    service = services()["api"]
    _, program, *arguments = service["healthcheck"]["test"]
    assert program == "python"
    own = str(service["environment"]["ENGAGE_OPERATIONS_PORT"])
    command = [word.replace(own, str(port)) for word in arguments]
    assert command != arguments
    checking = await asyncio.create_subprocess_exec(
        sys.executable, *command, stderr=asyncio.subprocess.DEVNULL
    )
    return await checking.wait() == 0
