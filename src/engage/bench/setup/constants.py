"""What all of a benchmark's programs have in common; it imports little, since each of them waits for it."""

import resource

HOST = "127.0.0.1"
PROGRAM = "eu-mi-points"
COUNTRY = "ES"


def member_id(prefix: str, number: int) -> str:
    return f"{prefix}{number}"


def many_files() -> int:
    """Lets this process and its children open as many sockets as the system allows; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1_000_000 if hard == resource.RLIM_INFINITY else hard
