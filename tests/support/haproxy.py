"""The proxy of deploy/haproxy/haproxy.cfg, in front of processes of this machine."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from engage.embedded.child_process import ProcessSpec, start
from tests.support.ports import HOST, server_port

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
# Where Debian installs it, which is not in everybody's path.
PROGRAM = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
# As many as a shell may have without a right of its own; the file asks for descriptors of 20,000.
CONNECTIONS = 200


def on_this_machine(text: str, port: int, servers: Mapping[str, Sequence[int]]) -> str:
    """Return the configuration with these servers of each backend, on this machine."""
    text = _changed(text, r"^    bind :8080$", f"    bind {HOST}:{port}")
    text = _changed(text, r"^    maxconn \d+$", f"    maxconn {CONNECTIONS}")
    # Their names would come from the network of a container. Everything else of a line stays.
    text = _changed(text, r"^resolvers system\n(?: .*\n)+", "")
    for name, ports in servers.items():
        template = re.search(rf"^    server-template {name} \S+ \S+ (.*)$", text, re.MULTILINE)
        assert template is not None
        options = template[1].replace("resolvers system ", "").replace("init-addr none", "").strip()
        lines = [f"    server {name}{n} {HOST}:{at} {options}" for n, at in enumerate(ports)]
        text = text.replace(template[0], "\n".join(lines))
    return text


def _changed(text: str, pattern: str, by: str) -> str:
    changed, count = re.subn(pattern, by, text, flags=re.MULTILINE)
    assert count == 1, pattern
    return changed


async def is_live(port: int, path: str = "/health/live") -> bool:
    """Ask for the liveness of what listens on a port. Cheap, because it is asked again and again."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: engage\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in await reader.readline()
        finally:
            writer.close()
            await writer.wait_closed()
    except OSError:
        return False


@asynccontextmanager
async def haproxy(
    folder: Path, servers: Mapping[str, Sequence[int]], *, ready_at: str = "/health/live"
) -> AsyncIterator[int]:
    """Run the proxy until the block ends. Yields its port, once `ready_at` answers."""
    assert PROGRAM is not None
    port = server_port()
    file = folder / "haproxy.cfg"
    file.write_text(
        on_this_machine(CONFIGURATION.read_text(encoding="utf-8"), port, servers), encoding="utf-8"
    )
    child = await start(
        ProcessSpec(
            name="haproxy",
            command=[PROGRAM, "-db", "-f", str(file)],
            log=folder / "haproxy.log",
            directory=folder,
            ready=partial(is_live, port, ready_at),
        )
    )
    try:
        await child.wait_until_ready()
        yield port
    finally:
        await child.stop()
