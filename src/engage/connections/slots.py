"""A map of hash slots to the primaries of a Cluster that own them. No input and output."""

from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import Any, Final, TypeAlias

from redis.crc import key_slot

SLOTS: Final = 16_384

# Keys that are tried to find one for each primary. One with a thousandth of all slots is found.
KEYS_TRIED: Final = 20_000

Address: TypeAlias = tuple[str, int]


def slot_of(key: str | bytes) -> int:
    slot: int = key_slot(key.encode() if isinstance(key, str) else key)
    return slot


class SlotMap:
    """The owners of all slots, as one node of the Cluster said, and as redirections said since."""

    def __init__(self) -> None:
        self.owners: list[Address | None] = [None] * SLOTS
        self.nodes: list[Address] = []  # Primaries with slots, and replicas.
        self.version = 0
        self._keys: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def replace(self, answer: Sequence[Sequence[Any]], asked: Address) -> bool:
        """Take the answer to CLUSTER SLOTS of the node `asked`; False if it knows of no slots."""
        owners: list[Address | None] = [None] * SLOTS
        nodes: dict[Address, None] = {}
        for first, last, *members in answer:
            addresses = [_address(member, asked) for member in members]
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            nodes.update(dict.fromkeys(addresses))
        if not nodes:
            return False
        if owners != self.owners:
            self._changed()
        self.owners, self.nodes = owners, list(nodes)
        return True

    def moved(self, slot: int, to: Address) -> None:
        self.owners[slot] = to
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._keys.clear()

    def primaries(self) -> list[Address]:
        return list(dict.fromkeys(owner for owner in self.owners if owner is not None))

    def keys_on_each(self, prefix: str) -> list[str]:
        """Return a key with this prefix for each primary."""
        if prefix not in self._keys:
            self._keys[prefix] = self._find_keys(prefix)
        return self._keys[prefix]

    def _find_keys(self, prefix: str) -> list[str]:
        missing = set(self.primaries())
        found = []
        for key in islice((f"{prefix}:{{{n}}}" for n in count()), KEYS_TRIED):
            if not missing:
                break
            owner = self.owners[slot_of(key)]
            if owner in missing:
                missing.discard(owner)
                found.append(key)
        return found


def _address(member: Sequence[Any], asked: Address) -> Address:
    """The address of a node. One that does not know its own host is where it was asked."""
    host, port = member[0], member[1]
    name = host.decode() if isinstance(host, bytes) else host
    return (name or asked[0], int(port))


def others_first(addresses: Iterable[Address], avoided: set[Address]) -> list[Address]:
    """Sort addresses so that those to be avoided are last."""
    return sorted(dict.fromkeys(addresses), key=lambda address: address in avoided)
