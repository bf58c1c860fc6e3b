"""The death of a process between a commit and its publication."""

from engage.runtime.services import Services


def lose_publications(services: Services) -> None:
    """Drop all waiting publications: confirmations of claims, doorbells and balance changes."""
    waiting = services.post_commit
    for queue in (waiting._confirmed, waiting._due, waiting._changes, waiting._unpublished):
        queue.clear()
