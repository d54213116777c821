"""What PostgreSQL keeps of an area is all that deciding needs, and it refuses whatever would break a promise."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import asyncpg
import orjson
import pytest

from schemas import codec
from schemas.codec import Event
from services.matcher.core.decide import DECIDED
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area, Match
from services.matcher.policies import Policies
from services.matcher.replay import Entry, Replay, from_database
from services.matcher.store import AREAS_OF_LANE, INDEXES_ONLY, OFFERS_UNDER_WAY, PAST_STARTS, WISHES_UNDER_WAY, BrokenInvariant, Changes, Loader, RawData
from services.matcher.written import decision_text
from tests import builders as build
from tests.builders import Scene, instant, offer, wish
from tests.conftest import Database

LANE = 3
SKILLS = ["haircut", "repair", "reading"]
HOMES = ["c1", "c1/p1", "c1/p1/b1", "c1/p1/b1/u1", "c1/p1/b2/u1", "c2/p1"]


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.dsn("matcher"))
    yield connection
    await connection.close()


class Stored:
    """An area as a worker keeps it: loaded from PostgreSQL, decided upon batch by batch, stored after each."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.scene = Scene()
        self.seq = 0

    async def load(self) -> None:
        """Begin with nothing but what is stored."""
        self.scene.area = await Loader(self.connection).load(Area(build.AREA, Policy.at_once()))

    async def take_in(self, events: Iterable[Event]) -> list[str]:
        """Decide and store one batch; what was told."""
        events, area = list(events), self.scene.area
        async with self.connection.transaction():
            ids = [{one for event in events if (one := getattr(event.data, name, None)) is not None} for name in ("wish_id", "offer_id", "volunteer_ref")]
            await Loader(self.connection).bring(area, *ids)
            changes, raw = Changes(), RawData()
            then: list[str] = []
            for event in events:
                then += self._decide(event, changes, raw)
            await changes.store(self.connection, [], [(LANE, area)], raw)
        area.forget_touched()
        return then

    def _decide(self, event: Event, changes: Changes, raw: RawData) -> list[str]:
        scene, data = self.scene, event.data
        now = max(scene.area.clock, event.time)
        said, told = len(scene.decisions), scene.passes(build.minutes_of(now))
        if told or scene.changed:
            self._journal(changes, now, "time", "decided", None, scene.decisions[said:])
        said = len(scene.decisions)
        told += scene.when(event)
        self._journal(changes, now, "event", scene.outcome, event, scene.decisions[said:])
        if event.type == "lastmetre.wish.submitted.v1":
            raw.wishes.setdefault((build.AREA, data.wish_id), event.raw)
        elif event.type == "lastmetre.offer.posted.v1" and scene.outcome == DECIDED:
            raw.offers[build.AREA, data.offer_id] = event.raw
        return told

    def _journal(self, changes: Changes, now: int, kind: str, outcome: str, event: Event | None, decisions: list[Any]) -> None:
        self.seq += 1
        record = (None,) * 5 if event is None else ("wishes", self.seq, event.source, event.id, codec.structured(event))
        changes.journal.append((LANE, self.seq, build.AREA, now, kind, outcome, *record, decision_text(build.AREA, now, decisions)))


def random_event(chance: random.Random, at: int, area: Area) -> Event:
    """Any event about few ids, so that everything meets everything."""
    wish_id, offer_id = f"w{chance.randrange(12)}", f"o{chance.randrange(10)}"
    matches = [match for one in area.wishes.values() for match in one.matches.values()]
    kinds: list[tuple[int, Callable[[], Event]]] = [
        (8, lambda: _wish(chance, wish_id, at)),
        (6, lambda: _offer(chance, offer_id, at)),
        (2, lambda: build.claim(wish_id, offer_id, at=at)),
        (1, lambda: build.wish_withdrawn(wish_id, at=at)),
        (1, lambda: build.consent_withdrawn(wish_id, at=at)),
        (1, lambda: build.offer_withdrawn(offer_id, at=at - chance.choice([0, 5]))),
        (1, lambda: build.offer_suspended(offer_id, at=at - chance.choice([0, 5]))),
    ]
    if matches:
        match = chance.choice(matches)
        kinds += [
            (3, lambda: build.accepted(match.wish.id, match.offer.id, at=at)),
            (2, lambda: build.declined(match.wish.id, match.offer.id, at=at)),
            (2, lambda: build.approved(match.wish.id, match.offer.id, at=at, word=chance.random() < 0.7)),
            (4, lambda: build.confirmed(match, at=at)),
            (1, lambda: build.undeliverable(match, at=at)),
        ]
    return chance.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]()


def _wish(chance: random.Random, wish_id: str, at: int) -> Event:
    start = at + chance.choice([-30, 0, 0, 30, 60])
    return wish(
        f"{wish_id}-{at // 120}",
        at=at,
        where=chance.choice(HOMES),
        skills=chance.sample(SKILLS, chance.choice([1, 1, 2])),
        urgency=chance.choice(["red", "yellow", "blue"]),
        wanted=(start, start + chance.choice([60, 120, 240])),
        minutes=chance.choice([15, 30, 60]),
        helpers=chance.choice([1, 1, 2, 4]),
        age_band=chance.choice(["adult", "elder", "under_14"]),
        approval=chance.choice(["none", "none", "worker"]),
    )


def _offer(chance: random.Random, offer_id: str, at: int) -> Event:
    return offer(
        offer_id,
        at=at - chance.choice([0, 0, 10]),
        home=chance.choice(HOMES),
        reach=chance.choice(["compound", "community", "area", "area"]),
        skills=chance.sample(SKILLS, chance.choice([1, 2, 3])),
        level=chance.choice([1, 4, 4]),
        windows=[(at, at + chance.choice([0.5, 60, 180]))] + [(at + 90, at + 400)] * chance.choice([0, 1]),
        capacity=chance.choice([1, 2, 3]),
        accepts=chance.choice(["auto", "auto", "ask"]),
        volunteer=chance.choice([f"p-{offer_id}", f"p-{offer_id}", "p-1"]),
        rest_minutes=chance.choice([None, None, None, 20]),
        per_week_max=chance.choice([None, None, None, 3]),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_an_area_that_is_loaded_again_decides_like_one_that_stayed(connection: asyncpg.Connection, seed: int) -> None:
    chance, at = random.Random(seed), 0
    stayed, stored = Scene(), Stored(connection)
    for number in range(60):
        if number % 3:
            await stored.load()
        batch = []
        for _ in range(chance.randrange(1, 12)):
            at += chance.choice([0, 0, 1, 3, 20])
            batch.append(random_event(chance, at, stayed.area))
            # Kept only to draw events about matches that exist: the same batch is decided by the stored area below.
            stayed.when(batch[-1])
        expected = [build.told(one) for one in stayed.decisions[len(stored.scene.decisions) :]]
        assert expected == await stored.take_in(batch), f"seed {seed}, batch {number}"
    assert 50 < sum(one.type.endswith("proposed.v1") for one in stayed.decisions)
    replay = Replay(Policies(Policy.at_once()))
    differences = [one async for entry in from_database(connection) for one in replay.again(entry)]
    assert ([], stored.seq) == (differences + replay.unfounded(), replay.decided)


async def test_what_was_forgotten_comes_back_when_an_event_asks_for_it(connection: asyncpg.Connection) -> None:
    stored = Stored(connection)
    await stored.take_in([offer(windows=[(0, 60)]), wish(), wish("w2", wanted=(0, 30), minutes=30)])
    await stored.take_in([build.service("finished", at=300)])
    assert ([], []) == (list(stored.scene.area.wishes), list(stored.scene.area.offers))
    assert [] == await stored.take_in([wish(at=300), build.wish_withdrawn("w2", at=300)])
    assert ["rejected k1 w2 o1 not_open"] == await stored.take_in([build.claim("w2", at=300)])
    assert ([], []) == (list(stored.scene.area.wishes), list(stored.scene.area.offers))


async def test_visits_that_are_over_count_in_their_week_for_the_next_worker_too(connection: asyncpg.Connection) -> None:
    stored, day = Stored(connection), build.DAY
    taken_back = [wish("w2", wanted=(day, day + 60)), build.wish_withdrawn("w2")]
    await stored.take_in([offer(windows=[(0, 30 * day)], capacity=5, per_week_max=2), wish("w1"), *taken_back])
    await stored.take_in([build.service("finished", at=day)])
    await stored.load()
    assert ["proposed w3 o1 @2880 unit"] == await stored.take_in([wish("w3", at=day, wanted=(2 * day, 20 * day))])
    await stored.load()
    assert ["proposed w4 o1 @10080 unit"] == await stored.take_in([wish("w4", at=day, wanted=(day, 20 * day))])


async def test_visits_that_are_over_are_found_by_an_index(connection: asyncpg.Connection) -> None:
    for name, value in INDEXES_ONLY.items():
        await connection.execute(f"SET {name} = {value}")
    await connection.execute(f"PREPARE past(text, bigint) AS {PAST_STARTS}")
    plan = await connection.fetch("EXPLAIN EXECUTE past('a', 0)")
    assert "matches_past" in "".join(row[0] for row in plan)


async def test_a_lane_is_taken_over_by_indexes_of_what_is_under_way_however_much_is_over(connection: asyncpg.Connection) -> None:
    """In years, what is over is a thousand times as much: whoever reads it at each start, and for each question why, starts later every year."""
    for name, value in INDEXES_ONLY.items():
        await connection.execute(f"SET {name} = {value}")
    for number, (statement, index) in enumerate(((WISHES_UNDER_WAY, "wishes_open"), (OFFERS_UNDER_WAY, "offers_open"))):
        await connection.execute(f"PREPARE under_way_{number}(text) AS {statement}")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE under_way_{number}('a')"))
        assert index in plan, plan
        assert "matches_live" in plan, plan
        assert "SubPlan" not in plan, "asked of each row there ever was"
    await connection.execute(f"PREPARE areas(int) AS {AREAS_OF_LANE}")
    plan = "\n".join(row[0] for row in await connection.fetch("EXPLAIN EXECUTE areas(1)"))
    assert {"areas_of_lane", "wishes_open", "offers_open", "matches_live"} <= set(re.findall(r"\w+", plan)), plan
    assert "Seq Scan" not in plan, plan


async def test_what_is_known_of_somebody_outlives_the_worker_and_all_they_posted(connection: asyncpg.Connection) -> None:
    stored, day = Stored(connection), build.DAY
    await stored.take_in([offer(accepts="ask", capacity=2), wish("w1", resident="anna"), build.accepted(at=1)])
    await stored.take_in([wish("w2", at=2, resident="anna"), build.declined("w2", at=3), wish("w3", at=9 * day, skills=["other"], wanted=(9 * day, 10 * day))])
    assert {} == stored.scene.area.volunteers
    for load_again in (False, True):
        if load_again:
            await stored.load()
        await stored.take_in([offer("o2", volunteer="volunteer-of-o1", at=9 * day, windows=[(9 * day, 12 * day)])])
        known = stored.scene.area.volunteers["volunteer-of-o1"]
        assert (2, 1, 1, instant(60), {"anna": 1}) == (known.asked, known.agreed, known.visits, known.last_at, known.met)


async def test_an_early_withdrawal_outlives_the_worker(connection: asyncpg.Connection) -> None:
    stored = Stored(connection)
    await stored.take_in([build.wish_withdrawn("w1", at=5), build.offer_suspended("o1", at=5)])
    await stored.load()
    assert [] == await stored.take_in([wish(at=1), offer(at=1), offer("o2", at=2)])
    assert 0 == await connection.fetchval("SELECT count(*) FROM matching.early")


async def test_a_match_and_then_a_smaller_capacity_in_one_batch_are_stored(connection: asyncpg.Connection) -> None:
    stored = Stored(connection)
    await stored.take_in([offer(capacity=3)])
    await stored.take_in([wish("w1"), wish("w2"), offer(capacity=1)])
    assert [(1, 2)] == [tuple(row) for row in await connection.fetch("SELECT capacity, live FROM matching.offers")]


async def test_slots_that_touch_are_stored_however_far_off_they_are(connection: asyncpg.Connection) -> None:
    """At such instants a double no longer tells one microsecond from the next."""
    far = 7_000 * 365 * build.DAY
    stored = Stored(connection)
    await stored.take_in([offer(at=far, windows=[(far, far + 300)], capacity=2)])
    told = await stored.take_in([wish("w1", at=far, wanted=(far, far + 60)), wish("w2", at=far, wanted=(far + 60, far + 120))])
    assert 2 == len(told)


# ---- what the database refuses, were the core ever wrong


async def with_one_match(connection: asyncpg.Connection, **more: Any) -> Stored:
    stored = Stored(connection)
    await stored.take_in([offer("o1", capacity=3), offer("o2", home="c2", capacity=1), wish("w1", **more)])
    return stored


def forced(area: Area, wish_id: str, offer_id: str, *, start: float, place: int = 0, number: int = 1) -> None:
    """A match that no rule would allow, as if the core had decided it."""
    wished, offered = area.wishes[wish_id], area.offers[offer_id]
    begins = instant(start)
    match = Match(
        id=f"forced-{wish_id}-{offer_id}", number=number, wish=wished, offer=offered, volunteer_ref=offered.volunteer.ref, start=begins,
        end=begins + wished.length, rung=4, how="paired", answered=True, approved=True, expires_at=None, place=place,
    )  # fmt: skip
    area.touched_matches[match.id] = match


async def refused(stored: Stored, name: str) -> None:
    with pytest.raises(BrokenInvariant, match=name):
        async with stored.connection.transaction():
            await Changes().store(stored.connection, [], [(LANE, stored.scene.area)], RawData())


async def test_refuses_two_live_matches_for_one_place(connection: asyncpg.Connection) -> None:
    stored = await with_one_match(connection)
    forced(stored.scene.area, "w1", "o2", start=120)
    await refused(stored, "place_once")


async def test_refuses_more_helpers_than_the_wish_needs(connection: asyncpg.Connection) -> None:
    stored = await with_one_match(connection)
    forced(stored.scene.area, "w1", "o2", start=120, place=1)
    await refused(stored, "matches_check")


async def test_refuses_one_volunteer_twice(connection: asyncpg.Connection) -> None:
    stored = await with_one_match(connection, helpers=3)
    forced(stored.scene.area, "w1", "o1", start=150, place=2, number=7)
    await refused(stored, "helper_once")


@pytest.mark.parametrize(("start", "overlaps"), [(59.999, True), (-59.999, True), (0, True), (60, False), (-60, False)])
async def test_refuses_live_slots_that_overlap(connection: asyncpg.Connection, start: float, overlaps: bool) -> None:
    stored = await with_one_match(connection)
    await stored.take_in([wish("w2", skills=["repair"])])
    forced(stored.scene.area, "w2", "o1", start=start)
    if overlaps:
        await refused(stored, "matches: .*excl")
    else:
        await Changes().store(connection, [], [(LANE, stored.scene.area)], RawData())


async def test_refuses_a_match_beyond_the_capacity(connection: asyncpg.Connection) -> None:
    stored = await with_one_match(connection)
    offered = stored.scene.area.offers["o2"]
    offered.live = 2
    stored.scene.area.touched_offers["o2"] = offered
    await refused(stored, "offers")


async def test_refuses_an_event_that_was_taken_in_before(connection: asyncpg.Connection) -> None:
    stored, event = Stored(connection), wish()
    await stored.take_in([event])
    with pytest.raises(asyncpg.UniqueViolationError, match="event_once"):
        await stored.take_in([event])


async def test_the_same_id_from_another_source_is_another_event(connection: asyncpg.Connection) -> None:
    stored = Stored(connection)
    data = {"wish_id": "w1"}
    await stored.take_in([build.event("wish.withdrawn.v1", "w1", data, event_id="x", source=source) for source in ("a", "b")])
    rows = [Entry(*row) for row in await connection.fetch("SELECT lane, seq, area, at, kind, outcome, event, decision FROM matching.journal")]
    assert ["a", "b"] == [orjson.loads(row.event or b"")["source"] for row in rows]
