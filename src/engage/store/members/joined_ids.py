"""Ids of many members in groups, as two texts.

The driver takes longer for an array of as many strings. And an array in each group would be planned as if
there were ten groups: too dear for a plan that is made once, so each execution would be planned anew.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

# No id contains it (`engage.domain.activity.MemberId`).
SEPARATOR: Final = " "


def rows_of(members: str, numbers: str) -> str:
    """A FROM item: a row of each member `k.member_id` and the number `k.n` of its group, by the names of the
    two parameters of `joined`.
    """
    return f"""unnest(
        string_to_array(CAST(:{members} AS text), ' '),
        CAST(string_to_array(CAST(:{numbers} AS text), ' ') AS int[])
    ) AS k (member_id, n)"""


def joined(groups: Mapping[Any, Collection[str]]) -> tuple[str, str]:
    """(the ids of all members, the number of each one's group, from 1)"""
    numbers = (f"{n} " * len(members) for n, members in enumerate(groups.values(), 1))
    members = (SEPARATOR.join(members) for members in groups.values() if members)
    return SEPARATOR.join(members), "".join(numbers).rstrip()
