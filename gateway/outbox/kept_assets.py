"""Which asset is meant by what is kept under a UUID, when gateway.yaml has another one than before.
Pure.

Numbers are kept under the UUID that an asset has in gateway.yaml (or one made of its name). Where a
person writes another UUID, takes it out, or follows the exchange in renaming the asset, it is the
same asset as before: what is kept of it goes with it. An asset is told by its name; one whose name
is gone, by its UUID or, where nothing else could be meant, by its kind and meters.
"""

from collections.abc import Mapping
from uuid import UUID, uuid5

import msgspec


class KeptAsset(msgspec.Struct, frozen=True):
    """An asset as gateway.yaml has it, or had it last."""

    uuid: UUID
    """Under which it is kept."""
    kind: str
    energy: str
    """Its formula."""

    def is_like(self, other: "KeptAsset") -> bool:
        """Whether it is of the same kind and meters."""
        return (self.kind, self.energy) == (other.kind, other.energy)


Kept = Mapping[str, KeptAsset]
"""By the asset's name."""


def moves(before: Kept, now: Kept) -> dict[UUID, UUID]:
    """Under which UUID goes what was kept under another one: all of them at once, as two may have
    been swapped. What is kept of an asset that is gone makes way where its UUID is another's now.
    """
    found: dict[UUID, UUID] = {}
    taken = {each.uuid for name, each in now.items() if name in before}
    for name, each in before.items():
        heir = now.get(name) or _renamed(each, before, now)
        if heir is not None:
            found[each.uuid] = heir.uuid
        elif each.uuid in taken:
            found[each.uuid] = _apart(name, each)
    return {old: new for old, new in found.items() if old != new}


def remembered(before: Kept, now: Kept) -> dict[str, KeptAsset]:
    """What to know at the next start: also of assets that are gone, which may come back."""
    moved = moves(before, now)
    found = dict(now)
    for name, each in before.items():
        if name not in now and _renamed(each, before, now) is None:
            uuid = moved.get(each.uuid, each.uuid)
            found[name] = KeptAsset(uuid, each.kind, each.energy)
    return found


def _renamed(gone: KeptAsset, before: Kept, now: Kept) -> KeptAsset | None:
    """The asset that has another name now, if it is plain which."""
    new = [each for name, each in now.items() if name not in before]
    for each in new:
        if each.uuid == gone.uuid:
            return each
    lost = [each for name, each in before.items() if name not in now and each.is_like(gone)]
    like = [each for each in new if each.is_like(gone)]
    return like[0] if len(lost) == len(like) == 1 else None


def _apart(name: str, asset: KeptAsset) -> UUID:
    return uuid5(asset.uuid, name)
