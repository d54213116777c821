"""The published generator: seeded days (or a month) of wishes and offers in one area that is built like the High-tech Zone. No I/O.

*The place.* 4 communities, 3 compounds each, 12 buildings each, 4 units each. Everyone lives in a unit that is drawn evenly.

*Skills.* 24, as unevenly met among wishes as among helpers: the n-th has weight 1 / (n + 4). A helper has 1 to 4 of them, one wish in eight wants two.

*Wishes* come by day, most of them between 8 and 20 o'clock. One in ten is red (help within three hours), three are yellow (a window of four to ten hours that
begins within two), six are blue (two to five days, beginning within one). A visit takes 30 to 60 minutes. One in seven wants a helper who is vetted, one in
25 wants two helpers, who may come one by one.

*Helpers* offer a week of their time: four to ten hours on each of seven days, for one to three *visits* in all (`capacity`, and `per_week_max`, which holds
for all of an offer because it spans less than seven times 24 hours). Most are told days ahead, some a few minutes. So the number of visits that are possible
is known, and so is the best that could be done with them (:mod:`benchmarks.quality.optimum`). One offer in twelve is withdrawn before it is over. A quarter
of the helpers are asked before they are sent; they say yes nine times in ten, mostly within minutes. What they would say is drawn once for each pair, so every
contender hears the same words.

*Supply* is the number of visits that helpers would make for each that is wished. The same arguments give the same stream, byte for byte.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from schemas import codec
from schemas.codec import Event
from schemas.instants import DAY_US, MINUTE_US, parse_rfc3339, rfc3339
from services.matcher.core.place import RUNG_OF, RUNGS, PlaceKey, rung_between

ZONE: Final = "high-tech-zone"
BEGIN: Final = parse_rfc3339("2026-11-22T16:00:00Z")  # midnight in the zone
HOUR_US: Final = 60 * MINUTE_US
COMMUNITIES, COMPOUNDS, BUILDINGS, UNITS = 4, 3, 12, 4
SKILLS: Final = (
    "walk", "talk", "shopping", "cooking", "cleaning", "laundry", "escort", "meal_delivery", "medicine_pickup", "haircut", "phone_help", "form_filling",
    "reading", "homework", "music", "chess", "gardening", "pet_care", "electrics", "plumbing", "lock_repair", "computer_help", "wheelchair", "sign_language",
)  # fmt: skip
_SKEW: Final = 4
_TOGETHER: Final = 6  # of the commonest skills, two may be wished at once
_REACHES: Final = (("building", 5), ("compound", 15), ("community", 30), ("area", 50))
# Shares of the day's wishes by hour, from midnight: people wish in the morning and after the afternoon's rest.
_HOURS: Final = (0, 0, 0, 0, 0, 0, 1, 3, 7, 9, 8, 6, 4, 4, 6, 8, 8, 7, 6, 5, 4, 2, 1, 0)
_CATEGORIES: Final = ("elder_care", "disability_help", "household", "repair", "health", "culture", "other")
_TITLES: Final = {"red": "现在就需要人帮忙", "yellow": "今天想请人帮忙", "blue": "这几天想请人帮忙"}
_CHECKED: Final = rfc3339(BEGIN - 90 * DAY_US)
_MINUTES: Final = (30, 45, 60, 60)
# An offer is for so many days, one after another.
_DAYS: Final = 7
# Days from a helper's first offer to the second: the last visit of one and the first of the other are more than a week apart.
_APART: Final = 15


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of stream.

    `supply`: visits offered for each that is wished, each offer another person's; or `helpers`: so many people who post two offers each, two weeks apart.
    `visits`: how many an offer is good for, drawn evenly. `asked`: the share of helpers who are asked first. `ahead_hours`: how long before its first
    window an offer is posted, on average. `streams`: how many seeds are measured together.
    """

    name: str
    days: int
    wishes: int
    supply: float = 0.0
    helpers: int = 0
    visits: tuple[int, ...] = (1, 2, 2, 3)
    asked: float = 0.25
    ahead_hours: float = 72
    streams: int = 1


@dataclass(frozen=True, slots=True)
class WishFact:
    """What a contender and the judge know of a wish. Instants and lengths in microseconds."""

    id: str
    at: int
    place: PlaceKey
    skills: frozenset[str]
    urgency: str
    start: int
    end: int
    length: int
    vetting: int
    need: int


@dataclass(frozen=True, slots=True)
class OfferFact:
    """The same of an offer; `visits`: how many it is good for; `gone_at`: when it is withdrawn, if it is."""

    id: str
    at: int
    volunteer: str
    home: PlaceKey
    reach: int
    skills: frozenset[str]
    level: int
    windows: tuple[tuple[int, int], ...]
    visits: int
    asks: bool
    gone_at: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an asked helper says, and how long they take; None: they say nothing."""

    yes: bool | None
    after_us: int


@dataclass(slots=True)
class Stream:
    """All that happens by itself, in order, and what is known about it."""

    shape: Shape
    seed: int
    wishes: dict[str, WishFact] = field(default_factory=dict)
    offers: dict[str, OfferFact] = field(default_factory=dict)
    by_skill: dict[str, list[OfferFact]] = field(default_factory=lambda: defaultdict(list))

    def fitting(self, wish: WishFact) -> Iterator[tuple[OfferFact, int]]:
        """(offer, rung) of all who could be sent as far as skills, reach and checks go, in the order of their posting."""
        rarest = min(wish.skills, key=lambda skill: (len(self.by_skill.get(skill, ())), skill))
        for offer in self.by_skill.get(rarest, ()):
            if wish.skills <= offer.skills and offer.level >= wish.vetting:
                rung = rung_between(wish.place, offer.home)
                if rung <= offer.reach:
                    yield offer, rung

    def answer(self, wish: WishFact, offer: OfferFact) -> Answer:
        """What this helper says to this wish; those who are not asked say yes at once."""
        if not offer.asks:
            return Answer(yes=True, after_us=0)
        rng = random.Random(digest(self.seed, wish.id, offer.id))
        chance = rng.random()
        minutes = rng.expovariate(1 / 3) if wish.urgency == "red" else rng.expovariate(1 / 12)
        if chance < 0.02:
            return Answer(yes=None, after_us=0)
        return Answer(yes=chance >= 0.1, after_us=round((0.2 + min(minutes, 45)) * MINUTE_US))

    def events(self) -> list[Event]:
        """What is published, in the order of time."""
        made = [(wish.at, wish.id, _wish_event(wish)) for wish in self.wishes.values()]
        made += [(offer.at, offer.id, _offer_event(offer)) for offer in self.offers.values()]
        made += [(offer.gone_at, offer.id, _gone_event(offer)) for offer in self.offers.values() if offer.gone_at is not None]
        return [event for _, _, event in sorted(made, key=lambda one: one[:2])]


def earliest(wish: WishFact, offer: OfferFact, now: int, busy: Sequence[tuple[int, int]] = ()) -> int | None:
    """The earliest start of a visit clear of what the helper does already (in order), or None where there is none any more."""
    for opens, closes in offer.windows:
        start = max(now, wish.start, opens)
        for begins, ends in busy:
            if begins < start + wish.length and start < ends:
                start = ends
        if start + wish.length <= min(wish.end, closes):
            return start
    return None


def generate(shape: Shape, seed: int) -> Stream:
    """The stream of that shape and seed."""
    stream = Stream(shape, seed)
    rng = random.Random(f"{seed}/{shape.name}/wishes")
    for number, at in enumerate(sorted(_moment(rng, shape.days) for _ in range(shape.wishes))):
        wish = _wish(rng, f"wish-{number:05d}", at)
        stream.wishes[wish.id] = wish
    places = sum(wish.need for wish in stream.wishes.values())
    rng = random.Random(f"{seed}/{shape.name}/offers")
    drafts: list[dict[str, Any]] = []
    for number in range(shape.helpers):
        person, first = _person(rng, f"helper-{number:05d}", shape.asked), rng.randrange(_APART)
        drafts += [_offer(rng, person, shape, first), _offer(rng, person, shape, first + _APART)]
    visits = 0
    while visits < shape.supply * places:
        person = _person(rng, f"helper-{len(drafts):05d}", shape.asked)
        # The first wishes find helpers who are there already, and the last blue ones some who come later.
        drafts.append(_offer(rng, person, shape, rng.randrange(shape.days + 2)))
        visits += drafts[-1]["visits"]
    drafts.sort(key=lambda draft: (draft["at"], draft["volunteer"]))
    for number, draft in enumerate(drafts):
        offer = OfferFact(id=f"offer-{number:05d}", **draft)
        stream.offers[offer.id] = offer
        for skill in sorted(offer.skills):
            stream.by_skill[skill].append(offer)
    return stream


def digest(*parts: object) -> int:
    """64 bits that look drawn, and are always the same for the same parts."""
    return int.from_bytes(hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=8).digest())


def _moment(rng: random.Random, days: int) -> int:
    hour = rng.choices(range(24), _HOURS)[0]
    return BEGIN + rng.randrange(days) * DAY_US + hour * HOUR_US + rng.randrange(3600) * 1_000_000 + rng.randrange(1_000_000)


def _skills(rng: random.Random, number: int) -> frozenset[str]:
    found: set[str] = set()
    while len(found) < number:
        found.add(rng.choices(SKILLS, [1 / (rank + _SKEW) for rank in range(len(SKILLS))])[0])
    return frozenset(found)


def _place(rng: random.Random) -> PlaceKey:
    community, compound = rng.randrange(COMMUNITIES), rng.randrange(COMPOUNDS)
    return (
        f"community-{community + 1}",
        f"compound-{community * COMPOUNDS + compound + 1}",
        f"building-{rng.randrange(BUILDINGS) + 1}",
        f"unit-{rng.randrange(UNITS) + 1}",
    )


def _wish(rng: random.Random, wish_id: str, at: int) -> WishFact:
    urgency = rng.choices(("red", "yellow", "blue"), (1, 3, 6))[0]
    if urgency == "red":
        start, end = at, at + 3 * HOUR_US
    elif urgency == "yellow":
        start = at + rng.randrange(2 * 60) * MINUTE_US
        end = start + rng.randrange(4 * 60, 10 * 60) * MINUTE_US
    else:
        start = at + rng.randrange(24 * 60) * MINUTE_US
        end = start + rng.randrange(2 * 24 * 60, 5 * 24 * 60) * MINUTE_US
    return WishFact(
        id=wish_id,
        at=at,
        place=_place(rng),
        skills=frozenset(rng.sample(SKILLS[:_TOGETHER], 2)) if rng.random() < 1 / 8 else _skills(rng, 1),
        urgency=urgency,
        start=start,
        end=end,
        length=rng.choice(_MINUTES) * MINUTE_US,
        vetting=rng.choice((1, 2)) if rng.random() < 1 / 7 else 0,
        need=2 if rng.random() < 1 / 25 else 1,
    )


def _person(rng: random.Random, ref: str, asked: float) -> dict[str, Any]:
    return {
        "volunteer": ref,
        "home": _place(rng),
        "reach": RUNG_OF[rng.choices([name for name, _ in _REACHES], [share for _, share in _REACHES])[0]],
        "skills": _skills(rng, rng.choice((1, 2, 2, 3, 3, 4))),
        "level": rng.choice((0, 1, 2, 2, 3)),
        "asks": rng.random() < asked,
    }


def _offer(rng: random.Random, person: dict[str, Any], shape: Shape, first: int) -> dict[str, Any]:
    """An offer without its id, for the week that begins with that day."""
    windows = []
    for day in range(first, first + _DAYS):
        opens = BEGIN + day * DAY_US + rng.randrange(8 * 60, 14 * 60) * MINUTE_US
        windows.append((opens, opens + rng.randrange(4 * 60, 10 * 60) * MINUTE_US))
    ahead = max(10.0, rng.expovariate(1 / (shape.ahead_hours * 60)))
    at = max(BEGIN - DAY_US, windows[0][0] - round(ahead * MINUTE_US)) + rng.randrange(1_000_000)
    gone_at = rng.randrange(at + MINUTE_US, windows[-1][1]) if rng.random() < 1 / 12 else None
    return {**person, "at": at, "windows": tuple(windows), "visits": rng.choice(shape.visits), "gone_at": gone_at}


def event(kind: str, subject: str, at: int, data: dict[str, Any]) -> Event:
    """A valid event of that type (without `lastmetre.`)."""
    document = {
        "specversion": "1.0",
        "id": f"{kind}/{subject}/{at}",
        "source": "lastmetre/benchmarks/quality",
        "type": f"lastmetre.{kind}.v1",
        "time": rfc3339(at),
        "subject": subject,
        "partitionkey": ZONE,
        "data": {**data, "area": ZONE},
    }
    return codec.decode_structured(orjson.dumps(document))


def _named(place: PlaceKey) -> dict[str, str | None]:
    return dict(zip(("community", "compound", "building", "unit"), place, strict=True))


def _wish_event(wish: WishFact) -> Event:
    rng = random.Random(f"{wish.id}/dress")
    data = {
        "wish_id": wish.id,
        "place": _named(wish.place),
        "category": rng.choice(_CATEGORIES),
        "skills": sorted(wish.skills),
        "urgency": wish.urgency,
        "window": {"start": rfc3339(wish.start), "end": rfc3339(wish.end)},
        "minutes": wish.length // MINUTE_US,
        "helpers_needed": wish.need,
        "beneficiary": {"age_band": rng.choice(("elder", "elder", "adult"))},
        "vetting_min": wish.vetting,
        "title": _TITLES[wish.urgency],
        "resident_ref": f"resident-{wish.id}",
    }
    return event("wish.submitted", wish.id, wish.at, data)


def _offer_event(offer: OfferFact) -> Event:
    data = {
        "offer_id": offer.id,
        "volunteer_ref": offer.volunteer,
        "home": _named(offer.home),
        "reach": RUNGS[offer.reach],
        "skills": sorted(offer.skills),
        "vetting": {"level": offer.level, "checked_at": _CHECKED},
        "windows": [{"start": rfc3339(start), "end": rfc3339(end)} for start, end in offer.windows],
        "capacity": offer.visits,
        "per_week_max": offer.visits,
        "accepts": "ask" if offer.asks else "auto",
    }
    return event("offer.posted", offer.id, offer.at, data)


def _gone_event(offer: OfferFact) -> Event:
    assert offer.gone_at is not None
    return event("offer.withdrawn", offer.id, offer.gone_at, {"offer_id": offer.id})
