"""One run: members use an installation while a plan breaks it, and checks judge what is left."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import msgspec
import psutil
from msgspec import Struct

from engage.embedded.run_file import FOLDER_VARIABLE
from engage.flows.operations.audit import audit
from engage.torture import faketime, private_disk
from engage.torture.asking import advance, may_repeat, open_client
from engage.torture.checks import Broken, check
from engage.torture.checks.exchanges import exchanges_of
from engage.torture.checks.statuses import no_server_errors
from engage.torture.members import live
from engage.torture.plan import Plan, without
from engage.torture.proof import judged, unproved
from engage.torture.rebuilding import decides_equally
from engage.torture.record import Record
from engage.torture.recovery import LIVE_WITHIN_S, Probe
from engage.torture.rounds import Round, break_by_plan, text_of
from engage.torture.system import System, open_system

MEMBERS_STOP_S = 60.0
WAITING_S = 300.0  # For what is due, and for the checks, each.
START_AND_STOP_S = 400.0

# All that members have earned is due by then.
ALL_IS_DUE = "P45D"

LIVE_AGAIN = f"live again within {LIVE_WITHIN_S:g} s of the last fault"


# The checks can ask all that they need.
CHECKED = "the checks are answered"


class ImpossibleFaults(Exception):
    """No fault of the plan can be done on this machine. The message has the reasons."""


class Result(Struct, frozen=True, kw_only=True):
    """The findings of a run. `folder` keeps the plan, the record and the logs. `skipped`: faults that this
    machine does not allow, with the reason. `requests` are the members'; of them `accepted` had a 2xx answer.
    `judged`: how many of the rounds were. `unproved`: why the run proves nothing, if it does not.
    """

    plan: Plan
    requests: int
    accepted: int
    rounds: list[Round]
    judged: int
    unproved: str
    skipped: dict[str, str]
    broken: list[Broken]
    folder: str


def _ignore(_line: str) -> None:
    pass


async def run(plan: Plan, *, parent: Path | None = None, report: Callable[[str], None] = _ignore) -> Result:
    """Raises ImpossibleFaults, InstallationError, and TimeoutError if anything hangs."""
    root = Path(tempfile.mkdtemp(prefix="engage-torture-", dir=parent))
    async with asyncio.timeout(plan.seconds + START_AND_STOP_S + 2 * WAITING_S):
        with installation_folder(root) as (folder, has_disk):
            skipped = _impossible(plan, has_disk)
            if plan.steps and not without(plan, skipped).steps:
                await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
                raise ImpossibleFaults("; ".join(f"{name}: {why}" for name, why in skipped.items()))
            plan = without(plan, skipped)
            (root / "plan.json").write_bytes(msgspec.json.encode(plan))
            with Record(root / "record.jsonl") as record:
                result = await _run(root, folder, plan, record, skipped, report)
            if left := _left(folder):
                result.broken.append(Broken("no process is left", (), ", ".join(left)))
    (root / "result.json").write_bytes(msgspec.json.encode(result))
    return result


async def _run(
    root: Path,
    folder: Path,
    plan: Plan,
    record: Record,
    skipped: dict[str, str],
    report: Callable[[str], None],
) -> Result:
    report("starting an installation")
    has_clocks = any(step.fault == "clock" for step in plan.steps)
    rounds: list[Round] = []
    async with open_system(folder, has_clocks=has_clocks, on_message=report) as system:
        try:
            probe = Probe(system, record)
            report(f"{plan.seconds:.0f} s of members and faults, seed {plan.seed}")
            async with _members(system, plan, record):
                await break_by_plan(system, plan, probe, report, rounds)
            report("waiting for what is due, and checking")
            broken = [*_late(rounds), *await _checks(system, record, probe)]
        finally:
            shutil.copytree(folder / "logs", root / "logs", dirs_exist_ok=True)
    exchanges = exchanges_of(record.lines)
    accepted = sum(exchange.is_done for exchange in exchanges)
    return Result(
        plan=plan,
        requests=sum(bool(exchange.sent.operation) for exchange in exchanges),
        accepted=accepted,
        rounds=rounds,
        judged=judged(rounds),
        unproved=unproved(rounds, accepted),
        skipped=skipped,
        broken=[*no_server_errors(exchanges), *broken],
        folder=str(root),
    )


@asynccontextmanager
async def _members(system: System, plan: Plan, record: Record) -> AsyncIterator[None]:
    """Let the members use the installation during the block. Their bugs end it."""
    stop = asyncio.Event()
    living = asyncio.create_task(live(system.endpoints, plan.seed, record, stop, actors=plan.actors))
    block = asyncio.current_task()
    assert block is not None

    def end_block(task: asyncio.Task[None]) -> None:
        if not stop.is_set():
            block.cancel()

    living.add_done_callback(end_block)
    try:
        yield
        stop.set()
        await asyncio.wait_for(living, MEMBERS_STOP_S)
    finally:
        stop.set()
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living


async def _checks(system: System, record: Record, probe: Probe) -> list[Broken]:
    """Wait until all that was due is done, then judge by the clients, the audit and a rebuild."""
    recovery = await probe.until_live(asyncio.get_running_loop().time())
    if recovery.missing:
        return [Broken(LIVE_AGAIN, (), recovery.missing)]
    broken: list[Broken] = []
    try:
        async with asyncio.timeout(WAITING_S):
            await _advance(system, record)
        async with asyncio.timeout(WAITING_S):
            broken += await _check(system, record, probe)
            audited = await audit(system.settings)
            broken += [
                Broken(
                    f"audit: {finding.check.name}", (), f"{finding.count} rows, such as {finding.rows[:3]}"
                )
                for finding in audited.broken
            ]
            broken += await decides_equally(system, record)
    except httpx.HTTPStatusError as error:
        answer = error.response
        broken.append(Broken(CHECKED, (), f"{answer.url.path}: {answer.status_code} {answer.text[:500]}"))
    except TimeoutError:
        broken.append(Broken(CHECKED, (), f"not within {WAITING_S:g} s"))
    return broken


async def _check(system: System, record: Record, probe: Probe) -> list[Broken]:
    """Run the checks. They ask an API, which on a busy machine may be away once more."""
    while True:
        try:
            return await check(system.endpoints, record)
        except httpx.HTTPError as error:
            if not may_repeat(error):
                raise
            await probe.until_live(asyncio.get_running_loop().time())


async def _advance(system: System, record: Record) -> None:
    """Advance the sandbox's clock until nothing is pending."""
    api = system.endpoints.apis[0]
    async with open_client(record, "end", base_url=api, timeout_s=WAITING_S) as client:
        await advance(client, ALL_IS_DUE)


def _late(rounds: list[Round]) -> list[Broken]:
    return [Broken(LIVE_AGAIN, (), text_of(each)) for each in rounds if not each.recovery.is_kept]


def _impossible(plan: Plan, has_disk: str | None) -> dict[str, str]:
    """Return why faults of the plan cannot be done on this machine."""
    faults = {step.fault for step in plan.steps}
    reasons = {
        "disk-full": has_disk,
        "clock": None if faketime.library() else "libfaketime is not installed",
    }
    return {name: reason for name, reason in reasons.items() if reason is not None and name in faults}


@contextmanager
def installation_folder(root: Path) -> Iterator[tuple[Path, str | None]]:
    """Create a folder on a disk of its own, where that is possible; yield it, and why it is not possible.

    With such a disk the running loop gets new threads: those that it has see the files below the mount.
    """
    root.chmod(0o711)  # PostgreSQL's user traverses it.
    folder = root / "installation"
    folder.mkdir()
    reason = private_disk.mount(folder)
    if reason is None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
    try:
        yield folder, reason
    finally:
        if reason is None:
            private_disk.unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _left(folder: Path) -> list[str]:
    """Return the processes of an installation that are still running."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(FOLDER_VARIABLE) == str(folder):
                found.append(f"{process.name()} {process.pid}")
    return found
