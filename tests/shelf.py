"""A scene whose area is stored after every event, forgets what it may forget, and can be loaded anew: all of it without a database.

Rows are written and read by the code of `services/matcher/store.py`; only the few SELECTs are done here, over dictionaries. That
PostgreSQL does the same is for `tests/integration/test_matcher_reload.py`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from schemas.codec import Event
from services.matcher import store
from services.matcher.core.decide import DECIDED
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.store import Loader, RawData
from tests.builders import Scene

Row = dict[str, Any]
# The columns of the tables, in the order of the migrations.
WISHES = ("area", "wish_id", "status", "submitted_at", "ends_at", "need", "match_count", "barred", "data", "invited")
OFFERS = ("area", "offer_id", "status", "status_at", "capacity", "live")
MATCHES = (
    "area", "wish_id", "number", "match_id", "place", "need", "offer_id", "volunteer_ref", "person", "starts_at", "ends_at",
    "rung", "how", "answered", "approved", "expires_at", "group_id", "group_size", "state", "live", "reason",
)  # fmt: skip
PEOPLE = ("area", "volunteer_ref", "asked", "agreed", "visits", "last_at")


class Shelves:
    """The rows of one area, and the SELECTs of the loader over them."""

    def __init__(self) -> None:
        self.clock = 0
        self.round_at: int | None = None
        self.wishes: dict[str, Row] = {}
        self.offers: dict[str, Row] = {}
        self.matches: dict[tuple[str, int], Row] = {}
        self.early: dict[tuple[str, str], Row] = {}
        self.people: dict[str, Row] = {}
        self.met: dict[tuple[str, str], int] = {}
        self.raw = RawData()

    def put(self, area: Area) -> None:
        """Store what has changed."""
        self.clock, self.round_at = area.clock, area.round_at
        for wish in area.touched_wishes.values():
            self.wishes[wish.id] = dict(zip(WISHES, store._wish_row(area.name, wish, self.raw), strict=True))
        for offer in area.touched_offers.values():
            row = dict(zip(OFFERS, store._offer_row(area.name, offer), strict=True))
            self.offers[offer.id] = row | {"data": self.raw.offers[area.name, offer.id]}
        for match in area.touched_matches.values():
            row = dict(zip(MATCHES, store._match_row(area.name, match), strict=True))
            self.matches[match.wish.id, match.number] = row
        for (kind, subject), early in area.touched_early.items():
            self.early.pop((kind, subject), None)
            if early is not None:
                self.early[kind, subject] = {"kind": kind, "subject": subject, "at": early.at, "status": early.status}
        for person in area.touched_people.values():
            self.people[person.ref] = dict(zip(PEOPLE, store._person_row(area.name, person), strict=True))
        self.met |= area.touched_met

    async def fetchval(self, sql: str, _area: str) -> int | None:
        return self.round_at if sql == store.ROUND_OF_AREA else self.clock

    async def fetch(self, sql: str, _area: str, asked_for: Any = ()) -> list[Row]:
        live = [row for row in self.matches.values() if row["live"]]
        if sql == store.PAST_STARTS:
            return [row for row in self.matches.values() if not row["live"] and row["state"] != "released" and row["starts_at"] > asked_for]
        asked = set(asked_for)
        if sql == store.PEOPLE_BY_REF:
            return [row for ref, row in self.people.items() if ref in asked]
        if sql == store.MET_BY_REF:
            return [{"volunteer_ref": ref, "resident_ref": other, "times": times} for (ref, other), times in self.met.items() if ref in asked]
        if sql == store.OFFERS_UNDER_WAY:
            held = {row["offer_id"] for row in live}
            return [row for row in self.offers.values() if row["status"] == "open" or row["offer_id"] in held]
        if sql == store.WISHES_UNDER_WAY:
            helped = {row["wish_id"] for row in live}
            return [row for row in self.wishes.values() if row["status"] == "open" or row["wish_id"] in helped]
        if sql == store.OFFERS_BY_ID:
            return [row for row in self.offers.values() if row["offer_id"] in asked]
        if sql == store.WISHES_BY_ID:
            return [row for row in self.wishes.values() if row["wish_id"] in asked]
        if sql == store.EARLY_BY_ID:
            return [row for row in self.early.values() if row["subject"] in asked]
        assert sql == store.STANDING_MATCHES
        standing = [row for row in self.matches.values() if row["wish_id"] in asked and row["state"] not in ("released", "unhelped")]
        return sorted(standing, key=lambda row: (row["wish_id"], row["number"]))


def at_once(step: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        step.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


class Shelved(Scene):
    """As a scene, but everything is stored and forgotten after each event."""

    def __init__(self, *, policy: Policy | None = None) -> None:
        super().__init__(policy=policy)
        self.shelves: Any = Shelves()

    def loads_again(self) -> None:
        """Another worker takes over: all that it knows is what was stored."""
        self.area = at_once(Loader(self.shelves).load(Area(self.area.name, self.area.policy)))

    def when(self, *events: Event) -> list[str]:
        then: list[str] = []
        for event in events:
            data = event.data
            ids = [{one} if (one := getattr(data, name, None)) else set[str]() for name in ("wish_id", "offer_id", "volunteer_ref")]
            at_once(Loader(self.shelves).bring(self.area, *ids))
            if event.type == "lastmetre.wish.submitted.v1":
                self.shelves.raw.wishes.setdefault((self.area.name, data.wish_id), event.raw)
            then += super().when(event)
            if event.type == "lastmetre.offer.posted.v1" and self.outcome == DECIDED:
                self.shelves.raw.offers[self.area.name, data.offer_id] = event.raw
            self._store()
        return then

    def passes(self, minutes: float) -> list[str]:
        then = super().passes(minutes)
        self._store()
        return then

    def _store(self) -> None:
        self.shelves.put(self.area)
        self.area.forget_touched()
