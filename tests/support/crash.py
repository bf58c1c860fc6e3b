"""A process that dies between a commit and its publication."""

from engage.runtime.services import Services


def lose_publications(services: Services) -> None:
    """Drops the publications that wait: claims are not confirmed, nobody rings, no change is published."""
    waiting = services.post_commit
    for queue in (waiting._confirmed, waiting._due, waiting._changes, waiting._unpublished):
        queue.clear()
