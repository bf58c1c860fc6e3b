"""Several workers of a benchmark can run at once on one machine."""

from pathlib import Path

from engage.bench.setup.environment import Environment
from engage.bench.setup.processes import workers
from engage.bench.sizes import Sizes
from engage.embedded.data_folder import folder_at
from engage.settings import Settings

WORKERS = 3


def test_each_worker_has_an_operations_port_of_its_own(tmp_path: Path) -> None:
    settings = Settings(database_url="", state_url="", queue_url="", topics_url="")
    env = Environment(folder_at(tmp_path), settings, Sizes(workers=WORKERS), print)
    specs = workers(env)
    assert len({spec.name for spec in specs}) == WORKERS
    assert len({spec.environment["ENGAGE_OPERATIONS_PORT"] for spec in specs}) == WORKERS
