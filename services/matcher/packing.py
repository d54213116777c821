"""The wishes of an area that is kept whole, those that are over packed: deciding a journal again keeps all that ever were, and a year has a hundred thousand.

A worker drops what is over and loads it again when somebody asks for it. A replay has nothing to load from, and is there to find decisions that hang on what
happens to be in memory; so to the core all wishes are there. A wish as an object takes 3 KB, packed a fifth of that.
"""

import marshal
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

from services.matcher.core.place import circles_of
from services.matcher.core.state import Area, Match, Offer, Wish

# So many that ended last stay as they are: most of what is still said of a wish is said soon.
_KEPT: Final = 1000
_OF_WISH: Final = tuple(name for name in Wish.__slots__ if name not in {"circles", "matches"})
_OF_MATCH: Final = tuple(one.name for one in fields(Match) if one.name not in {"wish", "offer"})


class Wishes(dict[str, Wish]):
    """What the core looks wishes up in, by one key at a time."""

    def __init__(self, area: Area) -> None:
        super().__init__(area.wishes)
        self._area = area
        self._packed: dict[str, bytes] = {}
        # The unpacked ones that are over, those that ended or were asked for last at the end.
        self._over: dict[str, None] = {}

    def __contains__(self, wish_id: object) -> bool:
        return super().__contains__(wish_id) or wish_id in self._packed

    def __getitem__(self, wish_id: str) -> Wish:
        if wish_id in self._packed:
            self._unpack(wish_id)
        return super().__getitem__(wish_id)

    def get(self, wish_id: str, default: Any = None) -> Any:
        """The wish of that id, unpacked."""
        if wish_id in self._packed:
            self._unpack(wish_id)
        return super().get(wish_id, default)

    def pack(self, changed: Iterable[Wish]) -> None:
        """After a decision that changed these: pack what has been over for longest."""
        for wish in changed:
            if wish.under_way:
                self._over.pop(wish.id, None)
            else:
                self._over[wish.id] = None
        while len(self._over) > _KEPT:
            wish_id = next(iter(self._over))
            del self._over[wish_id]
            self._packed[wish_id] = _packed(wish := self.pop(wish_id))
            wish.matches.clear()  # they name each other, which only a look for cycles would find
            for offer_id in wish.invited:
                self._area.drop_invitation(wish, offer_id)

    def _unpack(self, wish_id: str) -> None:
        of_wish, matches = marshal.loads(self._packed.pop(wish_id))  # noqa: S302 - our own bytes, of this process
        wish = self[wish_id] = Wish.__new__(Wish)
        for name, value in zip(_OF_WISH, of_wish, strict=True):
            setattr(wish, name, value)
        wish.circles, wish.matches = circles_of(wish.place), {}
        for offer_id, of_match in matches:
            offer = self._area.offers.get(offer_id) or Offer(offer_id)
            wish.matches[offer_id] = Match(wish=wish, offer=offer, **dict(zip(_OF_MATCH, of_match, strict=True)))
        self._over[wish_id] = None


def _packed(wish: Wish) -> bytes:
    matches = [(offer_id, [getattr(match, name) for name in _OF_MATCH]) for offer_id, match in wish.matches.items()]
    return marshal.dumps(([getattr(wish, name) for name in _OF_WISH], matches))
