"""Seeded lives: wish, offer, answer, and then what the helper, the resident and the community say, in all ways that they may fail to.

A round of lives takes ten minutes of event time. Wishes, offers and answers have minutes of their own and an area one life a round, so that their order says
nothing about who is found; what is said about the visits shares its minutes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.checker.wire import PREFIX, JsonObject

BASE: Final = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
ROUND_MINUTES: Final = 10
AREAS_MAX: Final = 100
# The community calls back when all rounds are long over.
CALLBACK_DAYS: Final = 5
_WISH, _OFFER, _EARLY, _ANSWER, _SLOT, _START, _FINISH, _WORD, _LATER = 0, 1, 2, 3, 4, 5, 6, 7, 8
_SLOT_MINUTES: Final = 15
# So many of an area take turns: a volunteer has many visits, none of which overlap.
_VOLUNTEERS: Final = 4
_TEAMS: Final = ("第一党支部", "第二党支部", "社区志愿队", None)
_OUTCOMES: Final = ("done", "done", "done", "partly", "not_done")
REPEATED_SHARE: Final = 0.35


@dataclass(slots=True)
class Life:
    """One wish and its helper, and the lines that tell of them: (minute, structured event)."""

    rng: random.Random
    number: int
    area: str
    minute: int
    callback: int
    auto: bool = False
    lines: list[tuple[int, JsonObject]] = field(default_factory=list)
    _said: int = 0

    def event(self, kind: str, minute: int, data: JsonObject, subject: str | None = None) -> None:
        """Say something in that minute of this life's round (or, from a day on, that minute of all time)."""
        self._said += 1
        at = self.minute + minute if minute < ROUND_MINUTES else minute
        wish_id = f"w-{self.number}"
        stamp = BASE + timedelta(minutes=at, seconds=self.rng.choice((0, 20, 40)))
        event = {
            "specversion": "1.0", "id": f"e-{self.number}-{self._said}", "source": f"/tests/{self.rng.choice(('app', 'grid'))}", "type": f"{PREFIX}{kind}.v1",
            "time": stamp.isoformat().replace("+00:00", "Z"), "subject": subject or wish_id, "partitionkey": self.area, "data": {"area": self.area, **data},
        }  # fmt: skip
        self.lines.append((at, event))

    def about(self, kind: str, minute: int, **more: Any) -> None:
        """Something about the pair."""
        self.event(kind, minute, {"wish_id": f"w-{self.number}", "offer_id": f"o-{self.number}", **more})

    def begin(self, accepts: str) -> None:
        """The wish, and the only one who has the skill for it."""
        starts = BASE + timedelta(minutes=self.minute + _SLOT)
        window = {"start": starts.isoformat(), "end": (starts + timedelta(minutes=2 * _SLOT_MINUTES)).isoformat()}
        place = {"community": "c1", "compound": "p1"}
        wish = {
            "wish_id": f"w-{self.number}", "place": place, "category": "household", "skills": [f"rare_{self.number}"], "urgency": "red", "window": window,
            "minutes": _SLOT_MINUTES, "beneficiary": {"age_band": "adult"}, "title": "帮忙换灯泡", "resident_ref": f"r-{self.number}",
        }  # fmt: skip
        offer = {
            "offer_id": f"o-{self.number}", "volunteer_ref": f"v-{self.area}-{self.minute // ROUND_MINUTES % _VOLUNTEERS}", "home": place, "reach": "area",
            "skills": [f"rare_{self.number}"], "vetting": {"level": 2, "checked_at": "2026-11-01T00:00:00Z"},
            "windows": [{"start": BASE.isoformat(), "end": (starts + timedelta(days=2)).isoformat()}], "capacity": 1, "accepts": accepts,
        }  # fmt: skip
        team = self.rng.choice(_TEAMS)
        if team is not None:
            offer["organisation"] = team
        self.event("wish.submitted", _WISH, wish)
        self.event("offer.posted", _OFFER, offer, f"o-{self.number}")

    def start(self) -> None:
        """The helper arrives."""
        self.about("service.started", self.rng.choice((_SLOT, _START)))

    def finish(self, minute: int = _FINISH) -> None:
        """The helper is done, and says how long it took, or not."""
        took = self.rng.choice((None, 0, 15, 40, 90, 119, 121, 300))
        self.about("service.finished", minute, **({} if took is None else {"minutes": took}))

    def word(self, minute: int = _WORD, by: str = "resident", outcome: str | None = None, **more: Any) -> None:
        """Whether it helped."""
        self.about("service.acknowledged", minute, by=by, outcome=outcome or self.rng.choice(_OUTCOMES), **more)


def _whole(life: Life) -> None:
    life.start()
    life.finish()
    life.word()


def _no_start(life: Life) -> None:
    life.finish()
    life.word()


def _no_finish(life: Life) -> None:
    life.start()
    life.word()


def _no_word(life: Life) -> None:
    life.start()
    life.finish()


def _start_alone(life: Life) -> None:
    life.start()


def _silence(_life: Life) -> None:
    pass


def _word_before_the_finish(life: Life) -> None:
    life.word(_START)
    life.finish(_LATER)


def _two_words(life: Life) -> None:
    life.start()
    life.finish()
    life.word(_WORD)
    life.word(life.rng.choice((_WORD, _LATER)))


def _two_finishes(life: Life) -> None:
    life.finish()
    life.finish(_LATER)
    life.word()


def _community_beside_the_resident(life: Life) -> None:
    life.finish()
    life.word(_WORD, "community")
    life.word(_LATER)


def _callback(life: Life) -> None:
    life.start()
    life.finish()
    life.word(life.callback, "community")


def _callback_that_contradicts(life: Life) -> None:
    life.finish()
    life.word(_WORD, outcome="done")
    life.word(life.callback, "community", "not_done")


def _late_resident(life: Life) -> None:
    life.finish()
    life.word(life.callback)


def _word_about_another_match(life: Life) -> None:
    life.finish()
    life.word(_WORD, outcome="not_done", match_id="another")


def _early_words(life: Life) -> None:
    """Before the slot; and where the helper is asked, before they have said yes."""
    life.finish(_EARLY)
    life.word(_EARLY)


def _early_finish_alone(life: Life) -> None:
    life.finish(_EARLY)


def _early_word_alone(life: Life) -> None:
    life.word(_EARLY)


def _words_before_there_was_a_match(life: Life) -> None:
    life.word(_WISH, outcome="not_done")
    life.finish(_WISH)
    if life.rng.random() < 0.5:
        life.finish()
        life.word()


def _called_off_after_early_words(life: Life) -> None:
    _early_words(life)
    if life.auto:
        life.about("match.declined", _ANSWER)


VISITS: Final[tuple[Callable[[Life], None], ...]] = (
    _whole, _whole, _no_start, _no_finish, _no_word, _start_alone, _silence, _word_before_the_finish, _two_words, _two_finishes,
    _community_beside_the_resident, _callback, _callback_that_contradicts, _late_resident, _word_about_another_match,
    _early_words, _early_finish_alone, _early_word_alone, _words_before_there_was_a_match, _called_off_after_early_words,
)  # fmt: skip


def _live(life: Life) -> None:
    answer = life.rng.choices(("auto", "accepted", "declined", "silent"), (60, 25, 8, 7))[0]
    life.auto = answer == "auto"
    life.begin("auto" if life.auto else "ask")
    if answer in {"accepted", "declined"}:
        life.about(f"match.{answer}", _ANSWER)
    # In turn, so that a short file has them all; what is said of a visit that nobody came to must have no effect.
    VISITS[life.number % len(VISITS)](life)


def generate(seed: int, lives: int) -> list[tuple[int, bytes]]:
    """The lines of so many lives: (minute, one structured event), in order of time."""
    rng = random.Random(seed)
    areas = min(AREAS_MAX, max(1, lives))
    rounds = -(-lives // areas)
    callback = CALLBACK_DAYS * 24 * 60 + rounds * ROUND_MINUTES
    found: list[tuple[int, JsonObject]] = []
    for number in range(lives):
        life = Life(rng, number, f"area-{number % areas}", number // areas * ROUND_MINUTES, callback + rng.randrange(3))
        _live(life)
        found += life.lines
    found.sort(key=lambda line: (line[0], line[1]["time"]))
    return [(minute, json.dumps(event, ensure_ascii=False).encode()) for minute, event in found]


def repeated_and_shuffled(lines: list[tuple[int, bytes]], seed: int) -> list[tuple[int, bytes]]:
    """The same lines, many of them twice, in any order within each minute."""
    rng = random.Random(seed + 1)
    more = lines + [line for line in lines if rng.random() < REPEATED_SHARE]
    rng.shuffle(more)
    return sorted(more, key=lambda line: line[0])
