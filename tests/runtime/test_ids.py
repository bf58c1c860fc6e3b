"""Ids are UUIDs like any other, in the order in which they were made."""

from uuid import UUID

import msgspec

from engage.runtime.ids import new_id


def test_ids_are_of_version_7_and_sort_as_they_were_made() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert ids == sorted(set(ids))
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, UUID(int=0x80 << 56).variant)}


def test_an_id_is_equal_to_the_same_uuid_from_elsewhere() -> None:
    id_ = new_id()
    read = UUID(str(id_))
    assert isinstance(id_, UUID)
    assert id_ == read
    assert read == id_
    assert {id_: "found"}[read] == "found"
    assert msgspec.json.decode(msgspec.json.encode(id_), type=UUID) == id_
