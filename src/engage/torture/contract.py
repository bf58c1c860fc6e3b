"""The contract that answers are judged by: the OpenAPI document, made by a program of its own.

An API makes it within seconds, in a thread. On a busy machine its supervisor may find it silent meanwhile.
"""

import asyncio
from pathlib import Path
from typing import Any, Final

import yaml

from engage.embedded.child_process import engage_command

LIMIT_S: Final = 300.0


async def make_contract(folder: Path) -> dict[str, Any]:
    """Write the document to a folder, and read it. Raises RuntimeError if it cannot be made; TimeoutError."""
    file = folder / "contract.yaml"
    program = await asyncio.create_subprocess_exec(
        *engage_command("openapi", "--file", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(program.communicate(), LIMIT_S)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode:
        raise RuntimeError(f"the contract was not made: {output.decode()[-2_000:]}")
    contract: dict[str, Any] = await asyncio.to_thread(_read, file)
    return contract


def _read(file: Path) -> Any:
    return yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)  # Safe, in C.
