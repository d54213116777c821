"""One small, crowded town, drawn from a seed: few places, skills, people and ids, so that everything meets everything.

It draws events of every type that the matcher reads.
Instants are minutes since noon (:mod:`tests.builders`), on a grid where many of them coincide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Any, Final

import orjson

from schemas import codec
from schemas.codec import Event
from schemas.confirmations import NO_CONSENT
from schemas.instants import MINUTE_US, rfc3339
from services.matcher.core.policy import Policy
from tests import builders as build
from tests.simulator.judge import Judge, Pair

HOMES: Final = ("c1", "c1/p1", "c1/p1/b1", "c1/p1/b1/u1", "c1/p1/b1/u2", "c1/p1/b2/u1", "c1/p2/b1/u1", "c2/p1", "c2/p1/b1/u1")
SKILLS: Final = ("haircut", "repair", "reading", "cooking")
LANGUAGES: Final = ("zh-CN", "sichuan")
AREAS: Final = ("high-tech", "jinjiang")
YEAR: Final = 365 * build.DAY
KINDS: Final = (
    "wish", "wish", "wish", "offer", "offer", "post_again", "check_again", "claim", "claim", "accept", "accept", "decline", "approve",
    "approve", "confirm", "fail",
    "withdraw_wish", "withdraw_consent", "withdraw_offer", "suspend", "visit", "close", "copy",
)  # fmt: skip
# The journal keeps an event as it came, so where it is decided again it need not be read again; a text that is not the same is.
read: Final = lru_cache(maxsize=256)(codec.decode_structured)
# Whether rest_minutes and per_week_max are drawn too.
LIMITS: Final = True


def policy_of(rng: Random) -> Policy:
    """One of the valid policies: as in production, everything at once, and some with other lengths."""
    return replace(_policy_of(rng), proof_needed=frozenset(rng.choice(((), (), ("cooking",), ("repair", "cooking")))))


def _policy_of(rng: Random) -> Policy:
    usual = Policy()
    kind = rng.randrange(6)
    if kind < 2:
        return usual
    if kind == 2:
        short = {"red": 3 * MINUTE_US, "yellow": 9 * MINUTE_US, "blue": 31 * MINUTE_US}
        return replace(usual, answer_us=short, word_us=MINUTE_US)
    if kind == 3:
        lengths = [{name: rng.choice((0, 7, 30, 200)) * MINUTE_US for name in usual.answer_us} for _ in range(3)]
        return replace(
            usual,
            round_us=rng.choice((1, 5, 30)) * MINUTE_US,
            invite_max=rng.choice((0, 1, 2, 5)),
            edges_max=rng.choice((1, 2, 16)),
            sure=rng.choice((0, 500, 900, 10_000)),
            patience_us=lengths[0],
            lead_us=lengths[1],
            widen_us=lengths[2],
        )
    return Policy.at_once()


@dataclass
class Town:
    """Draws events. `judges`, one an area, know what can be answered."""

    rng: Random
    judges: dict[str, Judge]
    weights: list[int] = field(init=False)
    _numbers: int = 0

    def __post_init__(self) -> None:
        rng = self.rng
        # Every town has habits of its own: some kinds often, some never.
        self.weights = [rng.choice((0, 1, 1, 2, 4)) for _ in KINDS]
        self.weights[0] += 1
        self.weights[3] += 1
        self.homes = rng.sample(HOMES, rng.randint(2, len(HOMES)))
        self.skills = SKILLS[: rng.choice((1, 1, 2, 2, 3, 4))]
        self.wish_ids: list[str] = ["w0"]
        self.offer_ids = [f"o{number}" for number in range(1, rng.choice((3, 5, 5, 8)))]
        self.span = rng.choice((240, 600, 600, 3 * build.DAY))
        self.children = rng.choice((0, 1, 1, 4))
        self.asking = rng.choice((0, 1, 2, 4))
        self.areas = AREAS[: rng.choice((1, 1, 2))]
        self.copies: list[Event] = []
        self.posted: dict[str, dict[str, Any]] = {}

    def event(self, at: int) -> Event | None:
        """Something that happens at that minute, None where nothing of the drawn kind can."""
        (kind,) = self.rng.choices(KINDS, self.weights)
        area = self.rng.choice(self.areas)
        if len(self.judges[area].gifts) < 2 and self.rng.randrange(3):
            kind = "offer"  # nothing much happens before there are some
        event: Event | None = getattr(self, f"_{kind}")(area, at)
        if event is not None and kind in {"wish", "offer", "claim", "accept", "approve"}:
            self.copies.append(event)
        return event

    # ---- drawing

    def _some(self, options: Sequence[str], most: int) -> list[str]:
        return self.rng.sample(options, self.rng.randint(1, min(most, len(options))))

    def _window(self, at: int, shortest: int) -> tuple[int, int]:
        start = at - at % 15 + self.rng.choice((-60, -15, 0, 0, 0, 15, 15, 30, 60, 240, self.span // 2))
        return start, start + shortest + self.rng.choice((0, 15, 60, 120, 360, self.span))

    def _wish_id(self) -> str:
        """Mostly a new one; now and then one that is known, or was withdrawn before it came."""
        if self.rng.randrange(8):
            self.wish_ids.append(f"w{len(self.wish_ids)}")
            return self.wish_ids[-1 if self.rng.randrange(8) else -2]
        return self.rng.choice(self.wish_ids)

    def _known_wish(self) -> str:
        return self.rng.choice(self.wish_ids[-6:])

    def _build(self, kind: str, subject: str, data: dict[str, Any], area: str, at: int) -> Event:
        """As a producer would send it, and as the codec takes it in."""
        self._numbers += 1
        raw = orjson.dumps({**data, "area": area})
        return read(codec.structured_parts(f"lastmetre.{kind}", "tests", f"e{self._numbers}", rfc3339(build.instant(at)), subject, area, raw))

    def _wish(self, area: str, at: int) -> Event:
        rng = self.rng
        wish_id, minutes = self._wish_id(), rng.choice((15, 30, 60, 60, 120))
        data: dict[str, Any] = {
            "wish_id": wish_id,
            "place": build.place(rng.choice(self.homes)),
            "category": rng.choice(("household", "household", "elder_care")),
            "skills": self._some(self.skills, rng.choice((1, 1, 2))),
            "urgency": rng.choice(("red", "yellow", "blue")),
            "window": build.window(*self._window(at, minutes)),
            "minutes": minutes,
            "helpers_needed": rng.choice((1, 1, 1, 1, 2, 3, 4)),
            "beneficiary": {"age_band": "adult"},
            "approval": rng.choice(("none", "none", "none", "worker")),
            "title": "理发",
            "resident_ref": f"resident-{wish_id}",
        }
        if rng.randrange(5) < self.children:
            who = rng.randrange(4)
            data["beneficiary"] = {"age_band": ("under_14", "under_18", "adult", "elder")[who]}
            data["category"] = "left_behind_children" if who == 2 else "study"
            data["accompanied"] = who == 3
        elif not rng.randrange(4):
            data["vetting_min"] = rng.randrange(5)
            data["beneficiary"] = {"age_band": "elder", "lives_alone": rng.choice((True, False))}
        if not rng.randrange(6):
            data["languages"] = self._some(LANGUAGES, 2)
        return self._build("wish.submitted.v1", wish_id, data, area, at)

    def _offer(self, area: str, at: int, offer_id: str | None = None) -> Event:
        rng = self.rng
        offer_id = offer_id or rng.choice(self.offer_ids)
        checked = rng.choice((at - 60, at - 60, at - build.DAY, at - YEAR + rng.randrange(-60, 600, 15), at + rng.randrange(0, 120, 15)))
        data: dict[str, Any] = {
            "offer_id": offer_id,
            "volunteer_ref": rng.choice((f"p-{offer_id}", f"p-{offer_id}", f"p-{offer_id}", "p-1", "p-2")),
            "home": build.place(rng.choice(self.homes)),
            "reach": rng.choice(("unit", "building", "compound", "community", *("area",) * 6)),
            "skills": self.skills if rng.randrange(3) else self._some(self.skills, 4),
            "vetting": {"level": rng.choice((0, 2, 3, 4, 4, 4, 4)), "checked_at": build.text_of(checked)},
            "windows": [build.window(*self._window(at, rng.choice((30, 240, 600)))) for _ in range(rng.choice((1, 2, 3)))],
            "capacity": rng.choice((1, 1, 2, 3)),
            "accepts": "ask" if rng.randrange(5) < self.asking else "auto",
        }
        if not rng.randrange(3):
            data["languages"] = self._some(LANGUAGES, 2)
        if rng.randrange(3):
            lasts = [rng.choice((at - 60, at + rng.randrange(0, 600, 15), at + 30 * build.DAY)) for _ in range(2)]
            data["proofs"] = [{"skill": rng.choice(self.skills), "valid_until": build.text_of(one)} for one in lasts]
        if not rng.randrange(4):
            data["organisation"] = rng.choice(("中心户一号", "第三党支部"))
        if LIMITS and not rng.randrange(3):
            data["rest_minutes"] = rng.choice((0, 10, 15, 45))
        if LIMITS and not rng.randrange(3):
            data["per_week_max"] = rng.choice((1, 1, 2, 3))
        self.posted[offer_id] = data
        return self._build("offer.posted.v1", offer_id, data, area, at)

    def _post_again(self, area: str, at: int) -> Event | None:
        known = sorted(self.judges[area].gifts)
        return self._offer(area, at, self.rng.choice(known)) if known else None

    def _check_again(self, area: str, at: int) -> Event | None:
        """The same offer with another check: of somebody who has a visit before them, or was invited, if there is one."""
        judge, rng = self.judges[area], self.rng
        busy = sorted({pair.offer_id for pair in judge.live()} | {offer_id for _, offer_id in judge.invited})
        known = [offer_id for offer_id in busy if offer_id in self.posted] or sorted(self.posted)
        if not known:
            return None
        data = dict(self.posted[rng.choice(known)])
        checked = rng.choice((at - 60, at - build.DAY, at - YEAR + rng.randrange(-60, 600, 15), at + rng.randrange(0, 120, 15)))
        data["vetting"] = {"level": rng.choice((0, 2, 3, 4, 4)), "checked_at": build.text_of(checked)}
        if not rng.randrange(3):
            data.pop("proofs", None)
        # Now and then it was said before, and comes late.
        return self._build("offer.posted.v1", data["offer_id"], data, area, at - rng.choice((0, 0, 0, 0, 1, 15, 60)))

    def _copy(self, _area: str, at: int) -> Event | None:
        """The same said again as another event, with an id of its own."""
        if not self.copies:
            return None
        event = self.rng.choice(self.copies)
        self._numbers += 1
        return replace(event, id=f"e{self._numbers}", time=build.instant(at), time_text=rfc3339(build.instant(at)))

    def _claim(self, area: str, at: int) -> Event:
        judge, rng = self.judges[area], self.rng
        waiting = [need.id for need in judge.needs.values() if judge.is_open(need)]
        wish_id = rng.choice(waiting) if waiting and rng.randrange(8) else self._known_wish()
        offer_id = rng.choice(sorted(judge.gifts)) if judge.gifts and rng.randrange(8) else rng.choice(self.offer_ids)
        self._numbers += 1
        data = {"claim_id": f"k{self._numbers}", "wish_id": wish_id, "offer_id": offer_id}
        return self._build("wish.claimed.v1", wish_id, data, area, at)

    def _pair(self, area: str, awaits: str | None = None) -> Pair | None:
        pairs = [pair for pair in self.judges[area].live() if awaits is None or awaits in pair.awaits]
        return self.rng.choice(pairs) if pairs else None

    def _about(self, kind: str, area: str, at: int, pair: Pair | None, more: dict[str, Any]) -> Event | None:
        """An answer about a pair, or about an invitation; now and then about what nobody proposed."""
        rng = self.rng
        asked = sorted({*self.judges[area].invited, *self.judges[area].interrupted})
        if pair is None and not asked and rng.randrange(8):
            return None
        data = {"area": area, **more}
        if pair is not None and rng.randrange(12):
            data |= {"wish_id": pair.need.id, "offer_id": pair.offer_id}
            if rng.randrange(2):
                data["match_id"] = pair.id if rng.randrange(8) else "another"
        else:
            wish_id, offer_id = rng.choice(asked) if asked and rng.randrange(6) else (self._known_wish(), rng.choice(self.offer_ids))
            data |= {"wish_id": wish_id, "offer_id": offer_id}
        return self._build(kind, data["wish_id"], data, area, at)

    def _accept(self, area: str, at: int) -> Event | None:
        return self._about("match.accepted.v1", area, at, self._pair(area, "answer"), {})

    def _decline(self, area: str, at: int) -> Event | None:
        return self._about("match.declined.v1", area, at, self._pair(area), {})

    def _approve(self, area: str, at: int) -> Event | None:
        more = {"worker_ref": "worker-1", "approved": bool(self.rng.randrange(5))}
        return self._about("match.approved.v1", area, at, self._pair(area, "approval"), more)

    def _visit(self, area: str, at: int) -> Event | None:
        kind = self.rng.choice(("service.started.v1", "service.finished.v1", "service.acknowledged.v1"))
        more: dict[str, Any] = {"by": "resident", "outcome": "done"} if kind == "service.acknowledged.v1" else {}
        return self._about(kind, area, at, self._pair(area), more)

    def _confirm(self, area: str, at: int) -> Event | None:
        firm = [pair for pair in self.judges[area].live() if not pair.awaits]
        if not firm:
            return None
        pair = self.rng.choice(firm)
        told = build.text_of(at)
        data = {
            "match_id": pair.id,
            "wish_id": pair.need.id,
            "offer_id": pair.offer_id,
            "rung": "area",
            "slot": {"start": rfc3339(pair.start), "end": rfc3339(pair.end)},
            "confirmed_at": told,
            "notices": [{"to": to, "channel": "console", "at": told} for to in ("resident", "volunteer")],
        }
        return self._build("match.confirmed.v1", pair.id, data, area, at)

    def _fail(self, area: str, at: int) -> Event | None:
        """Mostly while there is time; now and then the matcher hears of it only when the slot is over."""
        over = [pair for pair in self.judges[area].pairs.values() if pair.released is None and pair.closed is None and not pair.live(self.judges[area].at)]
        pair = self.rng.choice(over) if over and not self.rng.randrange(3) else self._pair(area)
        if pair is None:
            return None
        data = {"match_id": pair.id, "wish_id": pair.need.id, "offer_id": pair.offer_id, "reason": "unreachable" if at % 2 else NO_CONSENT}
        return self._build("confirmation.failed.v1", pair.id, data, area, at)

    def _close(self, area: str, at: int) -> Event | None:
        """Of a confirmed visit that has begun: once it is over, or before its slot is; now and then a second time."""
        judge = self.judges[area]
        begun = [pair for pair in judge.pairs.values() if pair.released is None and pair.confirmed and pair.start <= judge.at]
        if not begun:
            return None
        pair = self.rng.choice(begun)
        ids = {"match_id": pair.id, "wish_id": pair.need.id, "offer_id": pair.offer_id}
        outcome = self.rng.choice(("done", "done", "done", "partly", "not_done", "not_done"))
        data = {**ids, "outcome": outcome, "minutes": 60, "closed_at": build.text_of(at), "by": "resident"}
        return self._build("match.closed.v1", pair.id, data, area, at)

    def _withdraw_wish(self, area: str, at: int) -> Event:
        wish_id = self._known_wish()
        return self._build("wish.withdrawn.v1", wish_id, {"wish_id": wish_id}, area, at)

    def _withdraw_consent(self, area: str, at: int) -> Event:
        wish_id = self._known_wish()
        return self._build("consent.withdrawn.v1", wish_id, {"wish_id": wish_id}, area, at)

    def _withdraw_offer(self, area: str, at: int) -> Event:
        offer_id = self.rng.choice(self.offer_ids)
        return self._build("offer.withdrawn.v1", offer_id, {"offer_id": offer_id}, area, at)

    def _suspend(self, area: str, at: int) -> Event:
        offer_id = self.rng.choice(self.offer_ids)
        return self._build("offer.suspended.v1", offer_id, {"offer_id": offer_id}, area, at)
