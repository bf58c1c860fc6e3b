"""Members who were erased or merged are gone as the contract says, and nobody else is."""

from collections.abc import Iterator
from typing import Final

from engage.torture.checks.books import Member
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.exchanges import Wish

CLOSED: Final = "an erased or merged member is gone, and nobody else"

# Each API looks for closed members every two seconds, on a busy machine somewhat later.
LOOKED_S: Final = 5.0


def closings_are_as_answered(evidence: Evidence) -> Iterator[Broken]:
    """A closing that was answered is there, one that was not asked for is not. A closed account is empty."""
    members = {member.member_id: member for member in evidence.books.members}
    asked: dict[str, list[Wish]] = {}
    for wish in evidence.wishes("eraseMember", "mergeMembers"):
        asked.setdefault(_subject(wish), []).append(wish)
    for id_, wishes in asked.items():
        ids = tuple(id_ for wish in wishes for id_ in wish.ids)
        if any(wish.outcome == "done" for wish in wishes) and not _is_as_asked(members.get(id_), wishes):
            yield Broken(CLOSED, ids, f"{id_} was answered as gone, and is {members.get(id_)}")
    for member in evidence.books.members:
        if member.is_closed and all(w.outcome == "refused" for w in asked.get(member.member_id, ())):
            yield Broken(CLOSED, (), f"{member.member_id} is gone, and nobody asked for that")
    gone = {member.member_id for member in evidence.books.members if member.is_closed}
    for balance in evidence.books.balances:
        left = balance.active + balance.pending + balance.held + balance.debt
        if balance.member_id in gone and (left or not balance.closed):
            yield Broken(CLOSED, (), f"{balance.member_id} is gone, and its account is {balance}")


def erased_members_have_no_access(evidence: Evidence) -> Iterator[Broken]:
    """A member whose erasure was answered gets nothing any more, as soon as each API has looked."""
    erased = {
        _subject(wish): min(each.ended for each in wish.exchanges if each.is_done)
        for wish in evidence.wishes("eraseMember")
        if wish.outcome == "done"
    }
    for exchange in evidence.exchanges:
        since = erased.get(exchange.sent.member)
        if since is not None and exchange.sent.at > since + LOOKED_S and exchange.is_done:
            yield Broken(CLOSED, (exchange.id,), f"{exchange.sent.member} was erased, and got an answer")


def _subject(wish: Wish) -> str:
    """The member whom the path names: /v1/admin/members/{id}…"""
    return wish.sent.path.partition("?")[0].split("/")[4]


def _is_as_asked(member: Member | None, wishes: list[Wish]) -> bool:
    if member is None:
        return False
    into = {wish.sent.body["into"] for wish in wishes if wish.sent.operation == "mergeMembers"}
    return member.merged_into in into if into else member.erased_at is not None
