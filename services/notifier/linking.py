"""Links into notices: made when a notice is sent, and in no row before or after.

`exchange` comes in with a notice on its way through a channel that reaches one person. The link hangs on the notice's own key, so every attempt, after every
crash and through every channel, carries the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import uuid5

from schemas.instants import micros
from services.links.claims import Claims, Party, Purpose, expiry
from services.links.keys import LinkKeys
from services.links.settings import link_url
from services.links.store import mint
from services.notifier.book import Notice
from services.notifier.notices import with_link
from services.notifier.settings import Settings
from services.notifier.store import Store

# What the link in a notice is for, by (kind, party).
PURPOSES: Final[Mapping[tuple[str, str], tuple[Purpose, Party]]] = {
    ("asked", "volunteer"): ("answer", "volunteer"),
    ("invited", "volunteer"): ("answer", "volunteer"),
    ("confirmed", "volunteer"): ("cancel", "volunteer"),
    ("confirmed", "resident"): ("follow", "resident"),
    ("reminder", "volunteer"): ("start", "volunteer"),
    ("reminder", "resident"): ("follow", "resident"),
    ("report", "volunteer"): ("finish", "volunteer"),
    ("feedback", "resident"): ("acknowledge", "resident"),
}


def claims_of(notice: Notice) -> Claims | None:
    """What the notice's link says; None where it carries none. An answer is good until its deadline, all else hangs on the end of the slot."""
    found = PURPOSES.get((notice.kind, notice.party))
    anchor = notice.answer_by if notice.kind in {"asked", "invited"} else None if notice.slot is None else notice.slot[1]
    if found is None or anchor is None or notice.offer_id is None:
        return None
    purpose, party = found
    ends = expiry(purpose, micros(datetime.fromisoformat(anchor.upper())))
    return Claims(uuid5(notice.key, f"link\n{purpose}"), purpose, party, notice.area, notice.wish_id, notice.offer_id, notice.match_id, ends)


class Linker:
    """Makes links."""

    def __init__(self, public_url: str, keys: LinkKeys, store: Store) -> None:
        self._public_url = public_url
        self._keys = keys
        self._store = store

    async def linked(self, notice: Notice) -> Notice:
        """The notice as it goes out: with its link, where it has one."""
        claims = claims_of(notice)
        if claims is None:
            return notice
        link = link_url(self._public_url, await mint(self._store.durable, self._keys, claims))
        return replace(notice, text=with_link(notice.text, notice.kind, notice.party, notice.language, link), link=link)


def linker_of(settings: Settings, store: Store) -> Linker | None:
    """What makes links, where there is an address to which they lead."""
    keys = settings.link_ring
    return None if settings.public_url is None or keys is None else Linker(settings.public_url, keys, store)
