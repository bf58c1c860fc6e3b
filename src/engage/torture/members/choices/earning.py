"""Members tap, share, review and visit pages, and look at their points."""

from random import Random

from engage.torture.members.actions import Action
from engage.torture.members.knowledge import Knowledge, get, post

PRODUCTS = ("phone", "case", "lamp", "kettle", "scooter", "watch", "band", "tv")


def tap(_: Knowledge, __: Random) -> Action:
    return post("recordFuelTap", "/v1/fuel/taps")


def share(known: Knowledge, rng: Random) -> Action:
    share_id = known.chosen(rng, known.shares, "share", again=0.15)
    known.shares.append(share_id)
    # An identifier is that of one share, of one kind.
    kind = ("social", "link")[int(share_id.rpartition("-")[2]) % 2]
    body = {"kind": kind, "product_id": "phone", "share_id": share_id}
    return post("recordShare", "/v1/shares", body)


def review(known: Knowledge, rng: Random) -> Action:
    review_id = known.new_id("review")
    known.reviews.append(review_id)
    return post("recordReview", "/v1/reviews", {"product_id": rng.choice(PRODUCTS), "review_id": review_id})


def visit(_: Knowledge, rng: Random) -> Action:
    return post("recordVisit", "/v1/visits", {"page": rng.choice(["new", "new", "new", "old"])})


def look_home(_: Knowledge, __: Random) -> Action:
    return get("getHome", "/v1/me")


def look_tasks(_: Knowledge, __: Random) -> Action:
    return get("listTasks", "/v1/tasks")


def look_entries(_: Knowledge, rng: Random) -> Action:
    return get("listEntries", f"/v1/me/entries?limit={rng.choice([3, 20, 100])}")


def look_credits(_: Knowledge, rng: Random) -> Action:
    return get("listCredits", f"/v1/me/credits?limit={rng.choice([3, 20, 100])}")


CHOICES = (
    (10, tap),
    (5, share),
    (4, review),
    (3, visit),
    (3, look_home),
    (1, look_tasks),
    (2, look_entries),
    (2, look_credits),
)
