"""The names of an installation's parts."""

from typing import Final

APIS: Final = ("api-1", "api-2")
FEED: Final = "feed"
WORKERS: Final = ("worker-1", "worker-2")
PROCESSES: Final = (*APIS, FEED, *WORKERS)
POSTGRES: Final = "postgres"
STATE, QUEUE, TOPICS = "valkey-state", "valkey-queue", "valkey-topics"
VALKEYS: Final = (STATE, QUEUE, TOPICS)
SERVERS: Final = (POSTGRES, *VALKEYS)
