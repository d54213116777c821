"""Small stories for the generator, each aimed at one rule or one refusal reason.

A scene has skills of its own, so that the background does not walk through it. Its events stand in different minutes,
as the lines of one minute come in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.checker.town import AREAS, Draft, Town
from tests.checker.wire import JsonObject

Scene = Callable[["Stage"], None]


class Stage:
    """Where a scene plays: one area, a run of minutes, one rare skill."""

    def __init__(self, town: Town, minutes: Sequence[int]) -> None:
        self.town = town
        self.area = town.rng.choice(AREAS)
        self.skill = town.skill()
        self.drafts: list[Draft] = []
        self._minutes = list(minutes)

    @property
    def now(self) -> int:
        """The minute of the next event."""
        return self._minutes[0]

    def put(self, kind: str, data: JsonObject) -> Draft:
        """Add an event at the next minute."""
        draft = self.town.event(kind, data, self._minutes.pop(0))
        self.drafts.append(draft)
        return draft

    def wish(self, **given: Any) -> JsonObject:
        """A wish for the scene's skill."""
        data = self.town.wish(self.area, self.now, **({"skills": [self.skill]} | given))
        self.put("wish.submitted", data)
        return data

    def offer(self, **given: Any) -> JsonObject:
        """An offer with the scene's skill."""
        data = self.town.offer(self.area, self.now, **({"skills": [self.skill]} | given))
        self.put("offer.posted", data)
        return data

    def about(self, kind: str, wish: JsonObject, offer: JsonObject, **more: Any) -> None:
        """An event about the pair of both."""
        self.put(kind, {"area": self.area, "wish_id": wish["wish_id"], "offer_id": offer["offer_id"], **more})

    def claim(self, wish: JsonObject, offer: JsonObject) -> None:
        """The volunteer asks for the wish."""
        self.about("wish.claimed", wish, offer, claim_id=self.town.name("claim"))

    def ask(self) -> str:
        """How an offer that is asked accepts: `ask`, unless the file is to hold `auto` alone."""
        return "auto" if self.town.accepts == "auto" else "ask"


def _accepted(s: Stage) -> None:
    offer = s.offer(accepts=s.ask())
    s.about("match.accepted", s.wish(), offer)


def _declined(s: Stage) -> None:
    offer = s.offer(accepts=s.ask())
    wish = s.wish(window=s.town.window(s.now, 10, 12))
    s.about("match.declined", wish, offer, reason="临时有事")
    s.offer()
    s.claim(wish, offer)


def _approved(s: Stage) -> None:
    offer = s.offer()
    wish = s.wish(approval="worker", window=s.town.window(s.now, 10, 12))
    s.about("match.approved", wish, offer, worker_ref=s.town.name("worker"), approved=True)


def _not_approved(s: Stage) -> None:
    offer = s.offer()
    wish = s.wish(approval="worker", window=s.town.window(s.now, 10, 12))
    s.about("match.approved", wish, offer, worker_ref=s.town.name("worker"), approved=False, reason="先家访")


def _asked_and_approved(s: Stage) -> None:
    offer = s.offer(accepts=s.ask())
    wish = s.wish(approval="worker", window=s.town.window(s.now, 10, 12))
    s.about("match.accepted", wish, offer)
    s.about("match.approved", wish, offer, worker_ref=s.town.name("worker"), approved=True)


def _unknown_wish(s: Stage) -> None:
    s.claim({"wish_id": s.town.name("nowish")}, s.offer())


def _unknown_offer(s: Stage) -> None:
    s.claim(s.wish(), {"offer_id": s.town.name("nooffer")})


def _not_open(s: Stage) -> None:
    wish = s.wish()
    s.put("wish.withdrawn", {"area": s.area, "wish_id": wish["wish_id"]})
    s.claim(wish, s.offer())
    s.put("wish.withdrawn", {"area": s.area, "wish_id": wish["wish_id"], "reason": "again"})


def _held_for_another(s: Stage) -> None:
    s.offer(accepts=s.ask())
    wish = s.wish(window=s.town.window(s.now, 10, 12))
    s.claim(wish, s.offer())


def _skill_missing(s: Stage) -> None:
    wish = s.wish(skills=[s.skill, "shopping"])
    s.claim(wish, s.offer(reach="unit"))


def _language_missing(s: Stage) -> None:
    wish = s.wish(languages=["sign", "yi"])
    s.claim(wish, s.offer(languages=["en"]))
    s.claim(wish, s.offer())


def _out_of_reach(s: Stage) -> None:
    wish = s.wish(place={"community": "c1", "compound": "garden-1", "building": "b1"}, vetting_min=4)
    s.claim(wish, s.offer(home={"community": "c1", "compound": "garden-2", "building": "b1"}, reach="compound"))
    s.claim(wish, s.offer(home={"community": "c1", "compound": "garden-1"}, reach="building"))


def _vetting_too_low(s: Stage) -> None:
    wish = s.wish(beneficiary={"age_band": "elder", "lives_alone": True})
    s.claim(wish, s.offer(vetting=s.town.vetting(s.now, 1, 3)))


def _vetting_too_old(s: Stage) -> None:
    wish = s.wish(vetting_min=4)
    s.claim(wish, s.offer(vetting=s.town.vetting(s.now, 4, 366)))
    s.offer(vetting=s.town.vetting(s.now, 4, 364))


def _not_available(s: Stage) -> None:
    wish = s.wish(minutes=60, window=s.town.window(s.now, 20, 2))
    # Two windows that meet: neither holds the hour alone, and they are not one.
    halves = [s.town.window(s.now, 20, 0.75), s.town.window(s.now, 20.75, 0.75)]
    s.claim(wish, s.offer(windows=halves))


def _busy(s: Stage) -> None:
    volunteer = s.town.name("vol")
    s.offer(volunteer_ref=volunteer, windows=[s.town.window(s.now, 30, 1.5)])
    s.wish(minutes=60, window=s.town.window(s.now, 25, 10))
    second = s.offer(volunteer_ref=volunteer, windows=[s.town.window(s.now, 29, 2.4)])
    wish = s.wish(minutes=60, window=s.town.window(s.now, 25, 10))
    s.claim(wish, second)


def _offer_full(s: Stage) -> None:
    offer = s.offer(capacity=1, windows=[s.town.window(s.now, 0, 60)])
    s.wish(window=s.town.window(s.now, 20, 4))
    s.claim(s.wish(window=s.town.window(s.now, 20, 20)), offer)


def _freed(s: Stage) -> None:
    """Capacity comes back when the slot is over: then a claim may be granted."""
    offer = s.offer(capacity=1, windows=[s.town.window(s.now, 0, 60)])
    s.wish(window=s.town.window(s.now, 0, 4), minutes=15)
    wish = s.wish(window=s.town.window(s.now, 0, 40), minutes=15)
    s.wish(window=s.town.window(s.now, -1, 0.1 + 1), minutes=15)
    s.claim(wish, offer)


def _needs_two(s: Stage) -> None:
    wish = s.wish(category="study", beneficiary={"age_band": "under_14"})
    s.claim(wish, s.offer(vetting=s.town.vetting(s.now, 4, 10)))


def _childrens_pair(s: Stage) -> None:
    later = s.town.window(s.now, 20, 10)
    first = s.offer(vetting=s.town.vetting(s.now, 4, 10), windows=[s.town.window(s.now, 20, 6)])
    wish = s.wish(category="left_behind_children", window=later, minutes=90)
    second = s.offer(vetting=s.town.vetting(s.now, 4, 360), windows=[s.town.window(s.now, 22, 8)])
    s.put("offer.suspended", {"area": s.area, "offer_id": second["offer_id"], "reason": "投诉核查中"})
    s.offer(vetting=s.town.vetting(s.now, 4, 20), windows=[s.town.window(s.now, 20, 8)])
    s.claim(wish, first)


def _one_person_twice(s: Stage) -> None:
    volunteer = s.town.name("vol")
    vetting = s.town.vetting(s.now, 4, 10)
    s.offer(volunteer_ref=volunteer, vetting=vetting)
    s.offer(volunteer_ref=volunteer, vetting=vetting)
    s.wish(beneficiary={"age_band": "under_18"})
    s.wish(helpers_needed=2)


def _accompanied(s: Stage) -> None:
    for _ in range(3):
        s.offer(windows=[s.town.window(s.now, hours, 3) for hours in (12, 16)])
    wish = s.wish(accompanied=True, helpers_needed=3, window=s.town.window(s.now, 11, 12))
    s.put("consent.withdrawn", {"area": s.area, "wish_id": wish["wish_id"]})


def _withdrawn_after_match(s: Stage) -> None:
    s.offer(capacity=1)
    wish = s.wish(window=s.town.window(s.now, 15, 6))
    s.put("wish.withdrawn", {"area": s.area, "wish_id": wish["wish_id"], "reason": "儿子回来了"})
    s.wish(window=s.town.window(s.now, 12, 6))


def _suspended(s: Stage) -> None:
    offer = s.offer()
    wish = s.wish(window=s.town.window(s.now, 15, 6))
    s.put("offer.suspended", {"area": s.area, "offer_id": offer["offer_id"]})
    s.offer()
    s.put("offer.posted", offer)
    s.claim(wish, offer)


def _withdrawn_offer(s: Stage) -> None:
    offer = s.offer()
    s.wish(window=s.town.window(s.now, 15, 6))
    s.put("offer.withdrawn", {"area": s.area, "offer_id": offer["offer_id"]})
    wish = s.wish(window=s.town.window(s.now, 15, 6))
    s.claim(wish, offer)
    s.put("offer.posted", offer | {"capacity": 2})


def _smaller_capacity(s: Stage) -> None:
    offer = s.offer(capacity=3)
    s.wish(window=s.town.window(s.now, 15, 6))
    s.wish(window=s.town.window(s.now, 15, 6))
    s.put("offer.posted", offer | {"capacity": 1})
    s.claim(s.wish(window=s.town.window(s.now, 15, 9)), offer)


def _several_helpers(s: Stage) -> None:
    wish = s.wish(helpers_needed=4, window=s.town.window(s.now, 20, 6))
    for _ in range(3):
        s.offer(windows=[s.town.window(s.now, s.town.rng.choice((18, 21, 22)), 3)])
    s.claim(wish, s.offer(reach="community", home={"community": "elsewhere"}))


def _crowd(s: Stage) -> None:
    s.offer(capacity=2)
    for _ in range(4):
        s.wish(minutes=30)
    s.offer(capacity=1)


def _same_wish_again(s: Stage) -> None:
    wish = s.wish()
    s.put("wish.submitted", wish | {"title": "改了标题"})
    s.offer()


def _service(s: Stage) -> None:
    offer = s.offer()
    wish = s.wish(window=s.town.window(s.now, 0, 6), minutes=30)
    s.about("service.started", wish, offer)
    s.about("service.finished", wish, offer, minutes=35)
    s.about("service.acknowledged", wish, offer, by="resident", outcome="done", rating=5)


def _stray(s: Stage) -> None:
    """Words about what nobody knows: valid, and without effect."""
    s.put("wish.withdrawn", {"area": s.area, "wish_id": s.town.name("nowish")})
    s.put("offer.suspended", {"area": s.area, "offer_id": s.town.name("nooffer")})
    nobody = {"wish_id": s.town.name("nowish")}
    s.about("match.accepted", nobody, {"offer_id": s.town.name("nooffer")}, match_id=s.town.name("nomatch"))


SCENES: tuple[Scene, ...] = (
    _accepted, _declined, _approved, _not_approved, _asked_and_approved, _unknown_wish, _unknown_offer, _not_open,
    _held_for_another, _skill_missing, _language_missing, _out_of_reach, _vetting_too_low, _vetting_too_old,
    _not_available, _busy, _offer_full, _freed, _needs_two, _childrens_pair, _one_person_twice, _accompanied,
    _withdrawn_after_match, _suspended, _withdrawn_offer, _smaller_capacity, _several_helpers, _crowd,
    _same_wish_again, _service, _stray,
)  # fmt: skip
LONGEST = 8


def play(town: Town, scene: Scene, minutes: Sequence[int]) -> list[Draft]:
    """The scene's events; `minutes` must be LONGEST at least, growing."""
    stage = Stage(town, minutes)
    scene(stage)
    return stage.drafts
