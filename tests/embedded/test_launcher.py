"""A child does not outlive its parent."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.embedded.probes import is_running

PARENT = """
import asyncio, sys
from pathlib import Path
from engage.embedded.child_process import ProcessSpec, start

async def main():
    part = ProcessSpec(name="x", command=["/bin/sleep", "60"], log=Path(sys.argv[1]), directory=Path("/"))
    child = await start(part)
    print(child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a child when its parent dies")
async def test_the_child_of_a_killed_parent_ends_at_once(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(tmp_path / "log")), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())
        assert is_running(pid)
    finally:
        parent.kill()
        await parent.wait()
    async with asyncio.timeout(30):
        while is_running(pid):
            await asyncio.sleep(0.01)
